package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// store is the part of observe.Store that Janitor uses.
type store interface {
	AllNodes() ([]*corev1.Node, error)
	FollowNodes(context.Context, cache.ResourceEventHandler) (stop func(), err error)
}

// judge is the part of binder.Binder that Janitor uses.
type judge interface {
	All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error)
	Renew(ctx context.Context, nodes []string, maxAge time.Duration) error
	Fresh(ctx context.Context, node string, uid types.UID) (binding.Verdict, error)
}

// lifecycles is the part of awsfleet.Reader that Janitor uses.
type lifecycles interface {
	Lifecycles(context.Context, ...string) (map[string]fleet.Lifecycle, error)
}

// Deps are what a Janitor works with.
type Deps struct {
	// Client of the API server, which deletes Nodes.
	Client kubernetes.Interface
	// Store has the Nodes.
	Store store
	// Binding says how they stand to the instances of EC2.
	Binding judge
	// Groups knows the lifecycle states of instances.
	Groups lifecycles
	// Events gets one event for each deleted Node, and one for each impostor.
	Events record.EventRecorder
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Meter counts the rounds; nil for none.
	Meter *drive.Meter
	// Log gets one line for each deleted Node, and for each change of a standing.
	Log *slog.Logger
}

// Options say how often the janitor looks.
type Options struct {
	// Cluster whose instances are ours.
	Cluster string
	// Every is how often it looks when nothing happens; 10 s if zero.
	Every time.Duration
	// Settle is how long EC2 must say the same before a Node goes for it; 15 s if
	// zero.
	Settle time.Duration
}

const (
	// soon is the rest while a removal is about to end, for at most soonFor: between
	// its end and EC2 saying so lie some seconds, or as long as a hook takes.
	soon    = time.Second
	soonFor = 2 * time.Minute
	// restAge is how old EC2's answers may be while no Node is suspicious: what EC2
	// says about a running instance does not change.
	restAge = 5 * time.Minute
	// timeout bounds one look.
	timeout = 30 * time.Second
	// repeatAlarm is how often it is said again that a Node is an impostor.
	repeatAlarm = 10 * time.Minute
)

// Access is what a Janitor does with the API server.
var Access = []drive.Access{
	{Resource: "nodes", Verbs: []string{"get", "list", "watch", "patch", "delete"}},
	{Resource: "pods", Verbs: []string{"list", "delete"}},
	{Resource: "events", Verbs: []string{"create", "patch"}},
}

// Janitor deletes Nodes whose instance is gone or waits in a warm pool, and impostors.
type Janitor struct {
	deps    Deps
	options Options
	metrics metrics
	wake    *drive.Wake
	// removal is woken when an instance began to end.
	removal chan struct{}
	// told: instance -> until when EC2 is asked about it, because it is said to end.
	mu   sync.Mutex
	told map[string]time.Time

	// What follows is of the running round only.
	since   Since
	alarmed map[string]time.Time // UID -> when it was last said to be an impostor
	// condemned: UID -> since when a Node is to go that waits for what is left of it.
	condemned map[string]time.Time
	until     time.Time // of looking often
}

// NewJanitor returns a janitor; it registers its metrics.
func NewJanitor(d Deps, o Options) *Janitor {
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Settle == 0 {
		o.Settle = 15 * time.Second
	}
	d.Log = d.Log.With("part", "nodes")
	return &Janitor{deps: d, options: o, metrics: newMetrics(d.Registry), wake: drive.NewWake(), removal: make(chan struct{}, 1), told: map[string]time.Time{}}
}

// Wake makes the janitor look at once, as after a termination, and then every
// second until no Node is leaving, for two minutes at most. It never blocks.
func (j *Janitor) Wake() {
	select {
	case j.removal <- struct{}{}:
	default:
	}
	j.wake.Now()
}

// Run looks until ctx ends. A failure is logged and tried again at the next look. What
// an earlier run remembered is forgotten: another leader may have acted in between.
func (j *Janitor) Run(ctx context.Context) error {
	j.since, j.alarmed, j.until = Since{}, map[string]time.Time{}, time.Time{}
	j.condemned = map[string]time.Time{}
	defer j.metrics.standings.Reset()
	stop, err := j.deps.Store.FollowNodes(ctx, cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { j.wake.Now() },
		UpdateFunc: func(before, after any) { j.nodeChanged(before, after) },
	})
	if err != nil {
		return fmt.Errorf("follow nodes: %w", err)
	}
	defer stop()
	return drive.Rounds{
		Name: "nodes", Round: j.look, Every: j.options.Every, Least: soon, Timeout: timeout,
		Retry: drive.Backoff{First: j.options.Every, Last: j.options.Every}, Wake: j.wake, Meter: j.deps.Meter, Log: j.deps.Log,
	}.Run(ctx)
}

// nodeChanged wakes the janitor when a Node claims something else than before, or when its
// kubelet stops being Ready: EC2 may know why.
func (j *Janitor) nodeChanged(before, after any) {
	old, ok := before.(*corev1.Node)
	n, ok2 := after.(*corev1.Node)
	if ok && ok2 && (old.UID != n.UID || old.Spec.ProviderID != n.Spec.ProviderID || kube.KubeletReady(old) && !kube.KubeletReady(n)) {
		j.wake.Now()
	}
}

// look looks once. Nothing is asked about Nodes that EC2 said to be what they claim
// to be, for as long as they behave.
func (j *Janitor) look(ctx context.Context) (rest time.Duration, err error) {
	all, err := j.deps.Store.AllNodes()
	if err != nil {
		return 0, err
	}
	told := j.toldOf(time.Now())
	if doubted := j.doubted(all, told); len(doubted) > 0 {
		if err := j.deps.Binding.Renew(ctx, doubted, soon); err != nil {
			return 0, err
		}
	}
	verdicts, err := j.deps.Binding.All(ctx, restAge)
	if err != nil {
		return 0, err
	}
	nodes := Describe(all, verdicts)
	facts := Facts{Cluster: j.options.Cluster, Settle: j.options.Settle}
	if stopped := Stopped(nodes); len(stopped) > 0 {
		if facts.Lifecycles, err = j.deps.Groups.Lifecycles(ctx, stopped...); err != nil {
			return 0, err
		}
	}
	before := j.since
	planned, since := Plan(nodes, facts, before, time.Now())
	j.since = since
	j.metrics.show(nodes)
	j.alarm(nodes, before)
	pending := leaving(nodes) - leavingOf(planned)
	err = j.execute(ctx, planned)
	if len(j.condemned) > 0 {
		return soon, err // EC2 or the controllers are about to be done with it
	}
	return j.rest(pending > 0, len(told) > 0), err
}

// doubted returns the Nodes that EC2 is asked about right now: those whose kubelet is
// silent, that are being removed, whose instance is told to end, or that did not stand
// well the last time.
func (j *Janitor) doubted(all []*corev1.Node, told map[string]bool) []string {
	select {
	case <-j.removal:
		j.until = time.Now().Add(soonFor)
	default:
	}
	var names []string
	for _, n := range all {
		s := j.since[string(n.UID)]
		id, _ := kube.InstanceOf(n)
		doubted := told[id] || !kube.KubeletReady(n) || kube.Leaving(n) || s.Standing == binding.Leaving || s.Standing == binding.Impostor && s.Proven
		if doubted && !kube.ControlPlane(n) {
			names = append(names, n.Name)
		}
	}
	return names
}

func (j *Janitor) rest(pending, told bool) time.Duration {
	if told || pending && time.Now().Before(j.until) {
		return soon
	}
	return j.options.Every
}

func leaving(nodes []Node) (count int) {
	for _, n := range nodes {
		if n.Leaving && !n.ControlPlane {
			count++
		}
	}
	return count
}

func leavingOf(planned []Deletion) (count int) {
	for _, d := range planned {
		if d.Leaving {
			count++
		}
	}
	return count
}

func (j *Janitor) execute(ctx context.Context, planned []Deletion) error {
	var failed []error
	present := map[string]bool{}
	for _, d := range planned {
		present[d.UID] = true
	}
	maps.DeleteFunc(j.condemned, func(uid string, _ time.Time) bool { return !present[uid] })
	for _, d := range planned {
		failed = append(failed, j.remove(ctx, d))
	}
	return errors.Join(failed...)
}

// remove deletes a Node, after everything was asked again.
func (j *Janitor) remove(ctx context.Context, d Deletion) error {
	uid := types.UID(d.UID)
	now, err := j.deps.Binding.Fresh(ctx, d.Name, uid)
	var changed *binder.ChangedError
	switch {
	case errors.As(err, &changed): // gone, or another Node by now
		return nil
	case err != nil:
		return fmt.Errorf("judge node %s again: %w", d.Name, err)
	case now.Standing != d.Verdict.Standing || now.Reason != d.Verdict.Reason || now.Proven != d.Verdict.Proven:
		j.deps.Log.Info("node is not deleted: it stands otherwise now", "node", d.Name, "reason", now.Reason, "message", now.Message)
		return nil
	}
	if _, again := j.condemned[d.UID]; !again {
		j.condemned[d.UID] = time.Now()
	}
	d.Verdict = now
	if done, err := j.finish(ctx, d, time.Since(j.condemned[d.UID])); err != nil || !done {
		return err
	}
	delete(j.condemned, d.UID)
	err = j.deps.Client.CoreV1().Nodes().Delete(ctx, d.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Node by now
		return nil
	case err != nil:
		return fmt.Errorf("delete node %s: %w", d.Name, err)
	}
	kind, reason := corev1.EventTypeNormal, "NodeDeleted"
	if d.Lie {
		kind, reason = corev1.EventTypeWarning, "ImpostorDeleted"
	}
	j.metrics.deleted.WithLabelValues(string(d.Verdict.Reason)).Inc()
	j.deps.Events.Eventf(reference(d.Node), kind, reason, "Node deleted: %s", d.Why)
	j.deps.Log.Info("node deleted", "node", d.Name, "instance", d.Verdict.InstanceID, "reason", d.Verdict.Reason, "why", d.Why)
	return nil
}

// reference is what an Event about a Node regards, as kubelets write it: kubectl
// describe looks for Events by the name in place of the UID.
func reference(n Node) *corev1.ObjectReference {
	return &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: types.UID(n.Name)}
}
