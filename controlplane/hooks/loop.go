package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Loop uses.
type finder interface {
	Managed(ctx context.Context, cluster string) ([]*instances.Group, error)
	Pooled(ctx context.Context, group string) (map[string]string, error)
	Lifecycles(ctx context.Context, ids ...string) (map[string]string, error)
	ByID(ctx context.Context, ids ...string) ([]instances.Instance, error)
}

// Deps are what a Loop works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
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
	// afterFailure is the pause after a look that failed in part.
	afterFailure = 5 * time.Second
	// soon is the pause for soonFor after something happened.
	soon, soonFor = 5 * time.Second, 30 * time.Second
)

const (
	// patience bounds one look, so that no connection that hangs ends all looking.
	patience = time.Minute
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
	drainer drainer
	metrics *metrics
	wake    chan struct{}
	told    chan struct{}

	hooks map[string]cachedHooks // group name -> its hooks
	seen  map[key]*sight         // what is held now
}

// key names one stay of an instance in a state.
type key struct{ group, hook, instance, state string }

// sight is what this process remembers of an instance that is held.
type sight struct {
	first, beat time.Time
	done        bool   // our hook was answered; another one may still hold it
	said        Reason // what was last said of it
}

type cachedHooks struct {
	hookSet
	at time.Time
}

// NewLoop returns a loop; it registers its metrics.
func NewLoop(d Deps, p Policy) *Loop {
	d.Log = d.Log.With("part", "hooks")
	return &Loop{
		deps: d, policy: p, actions: actions{d.AutoScaling, p}, drainer: drainer{d.Client, d.Events},
		metrics: newMetrics(d.Registry, p), wake: make(chan struct{}, 1), told: make(chan struct{}, 1),
		hooks: map[string]cachedHooks{}, seen: map[key]*sight{},
	}
}

// Wake makes the loop look at once, as after a termination, and often for half a
// minute: a lifecycle state takes some seconds to show. It never blocks.
func (l *Loop) Wake() { signal(l.wake) }

// Told does what Wake does when somebody says that a hook of ours began to hold
// an instance: so even while no group is known to have one. It never blocks.
func (l *Loop) Told() { signal(l.told) }

func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends. Failures are logged and tried again at the next
// look. What an earlier run remembered is forgotten: another master may have led
// in between.
func (l *Loop) Run(ctx context.Context) error {
	l.hooks, l.seen = map[string]cachedHooks{}, map[key]*sight{}
	factory := informers.NewSharedInformerFactoryWithOptions(l.deps.Client, 0, informers.WithTransform(slim))
	nodes := factory.Core().V1().Nodes()
	watching, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { l.nodeSeen(nil, o) },
		UpdateFunc: l.nodeSeen,
	})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	factory.StartWithContext(ctx)
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), watching.HasSynced) {
		return ctx.Err()
	}
	var until time.Time // of looking often
	for {
		pause, err := l.look(ctx, nodes.Lister())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			l.deps.Log.Error("look at lifecycle hooks", "error", err)
			pause = min(pause, afterFailure)
		} else if l.deps.Looked != nil {
			l.deps.Looked()
		}
		if pause < Rest && time.Now().Before(until) {
			pause = min(pause, soon)
		}
		if l.rest(ctx, pause) {
			until = time.Now().Add(soonFor)
		}
	}
}

// rest waits for pause, or until something happened that a hook may wait for:
// not if no group has a hook of ours, unless we are told that one has. It reports
// whether something did.
func (l *Loop) rest(ctx context.Context, pause time.Duration) (woken bool) {
	least, timer := time.NewTimer(min(leastPause, pause)), time.NewTimer(pause)
	defer least.Stop()
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-least.C:
	}
	wake := l.wake
	if pause == Rest {
		wake = nil
	}
	select {
	case <-ctx.Done():
	case <-wake:
		return true
	case <-l.told:
		return true
	case <-timer.C:
	}
	return false
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
func (l *Loop) look(ctx context.Context, nodes corelisters.NodeLister) (pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	held, pause, err := l.observe(ctx, nodes)
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
