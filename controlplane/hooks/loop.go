package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
)

// finder is the part of awsfleet.Reader that Loop uses.
type finder interface {
	Managed(ctx context.Context, maxAge time.Duration) ([]fleet.Group, error)
	Pool(ctx context.Context, group string, maxAge time.Duration) ([]fleet.Member, error)
	Lifecycles(ctx context.Context, ids ...string) (map[string]fleet.Lifecycle, error)
	ByID(ctx context.Context, ids ...string) ([]fleet.Instance, error)
	Changed(instances ...string)
}

// store is the part of observe.Store that Loop uses.
type store interface {
	AllNodes() ([]*corev1.Node, error)
	FollowNodes(context.Context, cache.ResourceEventHandler) (stop func(), err error)
}

// judge is the part of binder.Binder that Loop uses.
type judge interface {
	All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error)
	Fresh(ctx context.Context, node string, uid types.UID) (binding.Verdict, error)
}

// Access is what a Loop does with the API server.
var Access = []drive.Access{
	{Resource: "nodes", Verbs: []string{"get", "list", "watch", "patch"}},
	{Resource: "pods", Verbs: []string{"list"}},
	{Resource: "pods/eviction", Verbs: []string{"create"}},
	{Resource: "events", Verbs: []string{"create", "patch"}},
}

// Deps are what a Loop works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Store has the Nodes.
	Store store
	// Binding says which instance a Node is.
	Binding judge
	// Finder reads what EC2 and Auto Scaling know.
	Finder finder
	// AutoScaling answers hooks.
	AutoScaling autoscalingAPI
	// Events gets what an operator should see, regarding a Node or, where there
	// is none, the controller's Lease.
	Events record.EventRecorder
	// Looked, if set, is called after each look that succeeded.
	Looked func()
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Meter counts the looks; nil for none.
	Meter *drive.Meter
	// Log gets one line for each action.
	Log *slog.Logger
}

// Rest is the pause between two looks while no managed group has one of our
// hooks; it is never longer. A cluster's first hook is found within it, and the
// instance that it holds within half of the timeout that the guide recommends.
const Rest = 2 * time.Minute

const (
	// hooked is the pause while a group has one and it holds nothing, or a third
	// of the shortest hook's timeout.
	hooked = time.Minute
	// sharedAge is how old a picture of the groups may be that another part looked
	// at, in a look that nothing woke.
	sharedAge = 5 * time.Second
	// afterFailure is the pause after a look that failed in part.
	afterFailure = 5 * time.Second
	// soon is the pause for soonFor after something happened. In the first seconds it is
	// as long as what has passed: AWS may show what was before.
	soon, soonFor = 5 * time.Second, 30 * time.Second
)

const (
	// timeout bounds one look, so that no connection that hangs ends all looking.
	timeout = time.Minute
	// standingAge is how old EC2's word about a Node's instance may be. Before an
	// answer is given it is asked again.
	standingAge = 5 * time.Minute
	// oneAction bounds the last look at an instance and the call that follows
	// from it. A leader that was paused in between sends nothing when it wakes:
	// the instance may be held by the same hook for another reason by then.
	oneAction = 8 * time.Second
	// parallel is how many instances are acted on at a time.
	parallel = 8
)

// Loop completes hooks.
type Loop struct {
	deps    Deps
	policy  Policy
	actions actions
	evictor *drain.Evictor
	metrics *metrics
	wake    *drive.Wake
	woken   atomic.Bool // since the last look
	idle    atomic.Bool // no group is known to have a hook of ours
	until   time.Time   // of looking often

	maxAge time.Duration          // of the groups in the next look
	hooks  map[string]cachedHooks // group name -> its hooks
	seen   map[key]*sight         // what is held now
}

// key names one stay of an instance in a state.
type key struct {
	group, hook, instance string
	state                 fleet.Lifecycle
}

// sight is what this process remembers of an instance that is held.
type sight struct {
	first, beat time.Time
	done        bool   // our hook was answered; another one may still hold it
	said        Reason // what was last said of it
}

// NewLoop returns a loop; it registers its metrics.
func NewLoop(d Deps, p Policy) *Loop {
	d.Log = d.Log.With("part", "hooks")
	return &Loop{
		deps: d, policy: p, actions: actions{d.AutoScaling, p}, evictor: drain.NewEvictor(drain.Options{Client: d.Client, Accepted: evicted(d.Events)}),
		metrics: newMetrics(d.Registry, p), wake: drive.NewWake(),
		hooks: map[string]cachedHooks{}, seen: map[key]*sight{},
	}
}

// Wake makes the loop look at once, as after a termination, and often for half a
// minute: a lifecycle state takes some seconds to show. It does nothing while no group
// is known to have a hook of ours. It never blocks.
func (l *Loop) Wake() {
	if !l.idle.Load() {
		l.Told()
	}
}

// Told does what Wake does when a message says that a hook of ours began to hold an
// instance: so even while no group is known to have one. It never blocks.
func (l *Loop) Told() {
	l.woken.Store(true)
	l.wake.Now()
}

// Run looks until ctx ends. Failures are logged and tried again at the next look.
// What an earlier run remembered is forgotten: another leader may have acted in
// between.
func (l *Loop) Run(ctx context.Context) error {
	l.hooks, l.seen, l.until = map[string]cachedHooks{}, map[key]*sight{}, time.Time{}
	l.maxAge = 0
	l.woken.Store(true) // the first answer may be of before the last leader's end
	stop, err := l.deps.Store.FollowNodes(ctx, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { l.nodeSeen(nil, o) },
		UpdateFunc: l.nodeSeen,
	})
	if err != nil {
		return fmt.Errorf("follow nodes: %w", err)
	}
	defer stop()
	return drive.Rounds{
		Name: "hooks", Round: l.round, Every: Rest, Least: leastPause, Timeout: timeout, Retry: drive.Backoff{First: afterFailure, Last: afterFailure},
		Wake: l.wake, Meter: l.deps.Meter, Done: l.deps.Looked, Log: l.deps.Log,
	}.Run(ctx)
}

// round looks once and decides how long to rest.
func (l *Loop) round(ctx context.Context) (rest time.Duration, err error) {
	if l.woken.Swap(false) {
		l.until, l.maxAge = time.Now().Add(soonFor), 0
	}
	pause, err := l.look(ctx)
	if pause < Rest && time.Now().Before(l.until) {
		pause = min(pause, soon, max(leastPause, soonFor-time.Until(l.until)))
	}
	l.maxAge = sharedAge
	l.idle.Store(pause == Rest && err == nil)
	return pause, err
}

func (l *Loop) nodeSeen(before, now any) {
	n, ok := now.(*corev1.Node)
	if !ok {
		return
	}
	old, _ := before.(*corev1.Node)
	if interesting(old, n) {
		l.Wake()
	}
}

// look looks once, and does what it finds to do. It returns how long to rest.
func (l *Loop) look(ctx context.Context) (pause time.Duration, err error) {
	held, pause, err := l.observe(ctx)
	var mu sync.Mutex
	var running sync.WaitGroup
	turns := make(chan struct{}, parallel)
	for _, d := range Plan(held, time.Now(), l.policy) {
		pause = min(pause, d.Again)
		turns <- struct{}{}
		running.Go(func() {
			defer func() { <-turns }()
			if failed := l.execute(ctx, d); failed != nil {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, fmt.Errorf("instance %s of group %s: %w", d.InstanceID, d.Group, failed))
			}
		})
	}
	running.Wait()
	return pause, err
}
