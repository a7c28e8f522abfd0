package labels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// store is the part of observe.Store that Labeler uses.
type store interface {
	Nodes() corelisters.NodeLister
	FollowNodes(context.Context, cache.ResourceEventHandler) (stop func(), err error)
}

// judge is the part of binder.Binder that Labeler uses.
type judge interface {
	All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error)
	Renew(ctx context.Context, nodes []string, maxAge time.Duration) error
}

// Access is what a Labeler does with the API server.
var Access = []drive.Access{
	{Resource: "nodes", Verbs: []string{"list", "watch", "patch"}},
	{Resource: "events", Verbs: []string{"create", "patch"}},
}

// finder is the part of awsfleet.Reader that Labeler uses.
type finder interface {
	Group(ctx context.Context, name string, maxAge time.Duration) (*fleet.Group, error)
}

// declarations is the part of launch.Declarations that Labeler uses.
type declarations interface {
	Labels(ctx context.Context, from *fleet.TemplateRef, tags map[string]string) (map[string]string, error)
}

// Deps are what a Labeler works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Store has the Nodes.
	Store store
	// Binding says which instance a Node is.
	Binding judge
	// Finder asks Auto Scaling.
	Finder finder
	// Declarations knows which labels are wanted.
	Declarations declarations
	// Events gets what an operator should see, regarding the Node.
	Events record.EventRecorder
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Meter counts the batches; nil for none.
	Meter *drive.Meter
	// Log gets one line for each verdict and each change.
	Log *slog.Logger
}

const (
	// gather is how long to wait for further Nodes after the first: a hundred
	// that join at once are one question to EC2.
	gather = 100 * time.Millisecond
	// most is how many Nodes are looked at together.
	most = 200
	// timeout bounds one look.
	timeout = 30 * time.Second
	// standingAge is how old EC2's word about a Node's instance may be that was
	// asked about when the Node appeared.
	standingAge = 5 * time.Minute
	// refusedFor is how long a Node that was not proven is left alone: its
	// group may be tagged meanwhile.
	refusedFor = 10 * time.Minute
	// groupAge is how old the picture of a group may be: every Node that joins is a
	// question about one.
	groupAge = 2 * time.Second
	// Bounds of the wait before a Node is looked at again about which AWS does
	// not know enough yet.
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// Labeler labels Nodes as they appear and change.
type Labeler struct {
	deps     Deps
	policy   Policy
	set      prometheus.Counter
	verdicts *prometheus.CounterVec

	known map[string]verdict // Node name -> what it was found to be
}

// verdict is a decision about one Node, for as long as it is the same one and
// says the same of itself. Its provider id cannot change.
type verdict struct {
	Decision
	uid      string
	instance string
	claims   string
	at       time.Time
}

// NewLabeler returns a labeler; it registers its metrics.
func NewLabeler(d Deps, p Policy) *Labeler {
	d.Log = d.Log.With("part", "labels")
	l := &Labeler{deps: d, policy: p,
		set: prometheus.NewCounter(prometheus.CounterOpts{Name: "joinery_node_labels_set_total", Help: "Labels set on Nodes from their group's declaration."}),
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_node_identity_checks_total",
			Help: "Checks whether a Node is that of the instance it names, by what was found."}, []string{"reason"}),
	}
	d.Registry.MustRegister(l.set, l.verdicts)
	return l
}

// look handles a batch of Nodes; it returns the names to look at again.
func (l *Labeler) look(ctx context.Context, nodes []Node) (again []string, err error) {
	var unknown []Node
	for _, n := range nodes {
		if v, ok := l.known[n.Name]; !ok || !v.holds(n, time.Now()) {
			unknown = append(unknown, n)
		}
	}
	facts, err := l.ask(ctx, unknown)
	failed := []error{err}
	for _, n := range unknown {
		if _, ok := facts[n.Name]; !ok {
			again = append(again, n.Name)
		}
	}
	for _, n := range nodes {
		if f, ok := facts[n.Name]; ok {
			l.judge(n, f)
		}
		v, ok := l.known[n.Name]
		if !ok || !v.holds(n, time.Now()) {
			continue
		}
		if err := l.apply(ctx, n, v.Want); err != nil {
			failed = append(failed, err)
			again = append(again, n.Name)
		} else if v.Reason.Later() {
			again = append(again, n.Name)
		}
	}
	return again, errors.Join(failed...)
}

// holds says whether the verdict is about this Node and still good.
func (v verdict) holds(n Node, now time.Time) bool {
	age := now.Sub(v.at)
	old := v.Reason != Proven && age >= refusedFor || v.Reason.Later() && age >= firstRetry
	return v.uid == n.UID && v.claims == n.Claims && !old
}

// ask asks AWS about all of nodes, in one call for their instances and one for
// each of their groups. A Node about which there was no answer is left out.
func (l *Labeler) ask(ctx context.Context, nodes []Node) (map[string]Facts, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(nodes))
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	if err := l.deps.Binding.Renew(ctx, names, groupAge); err != nil {
		return nil, err
	}
	verdicts, err := l.deps.Binding.All(ctx, standingAge)
	if err != nil {
		return nil, err
	}
	groups := map[string]*fleet.Group{}
	out := map[string]Facts{}
	var failed []error
	for _, n := range nodes {
		f := Facts{Verdict: verdicts[n.Name]}
		if err := l.askGroup(ctx, &f, groups); err != nil {
			failed = append(failed, err)
			continue
		}
		out[n.Name] = f
	}
	return out, errors.Join(failed...)
}

// askGroup fills in the group of the instance and what it declares; groups are
// those that were asked for already.
func (l *Labeler) askGroup(ctx context.Context, f *Facts, groups map[string]*fleet.Group) (err error) {
	if !f.Verdict.Counts() || f.Verdict.Instance.Group == "" {
		return nil
	}
	i := f.Verdict.Instance
	g, asked := groups[i.Group]
	if !asked {
		if g, err = l.deps.Finder.Group(ctx, i.Group, groupAge); err != nil {
			return err
		}
		groups[i.Group] = g
	}
	if g == nil || !g.Managed(l.policy.Cluster) {
		return nil
	}
	f.Group = g
	member, _ := g.Member(i.ID)
	f.Declared, err = l.deps.Declarations.Labels(ctx, member.Template(), g.Tags)
	var unreadable *launch.UnreadableError
	if errors.As(err, &unreadable) {
		l.deps.Log.Warn("labels that are declared cannot be read", "group", g.Name, "instance", i.ID, "error", err)
		return nil
	}
	return err
}

// judge keeps what a Node was found to be, and says it if it is news.
func (l *Labeler) judge(n Node, f Facts) {
	d := Plan(f, l.policy)
	before, same := l.known[n.Name]
	l.known[n.Name] = verdict{Decision: d, uid: n.UID, instance: f.Verdict.InstanceID, claims: n.Claims, at: time.Now()}
	l.verdicts.WithLabelValues(string(d.Reason)).Inc()
	if same && before.uid == n.UID && before.Reason == d.Reason {
		return
	}
	l.deps.Log.Info("node's identity", "node", n.Name, "instance", l.known[n.Name].instance, "reason", d.Reason, "message", d.Message)
	if d.Lie {
		l.event(n, corev1.EventTypeWarning, "IdentityNotProven", "no label of its group is set: %s: %s", d.Reason, d.Message)
	}
	if len(d.Refused) > 0 {
		l.event(n, corev1.EventTypeWarning, "LabelRefused", "its group declares %s: no declaration makes a control-plane node, or sets what the controller records", strings.Join(d.Refused, ", "))
	}
}

// apply sets what is missing. The UID in the patch is a precondition: the name
// may be another Node's by now.
func (l *Labeler) apply(ctx context.Context, n Node, want map[string]string) error {
	missing := Missing(n, want)
	if len(missing) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": n.UID, "labels": missing}})
	if err != nil {
		return fmt.Errorf("encode patch of node %s: %w", n.Name, err)
	}
	_, err = l.deps.Client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Node: its own event follows
		return nil
	case err != nil:
		return fmt.Errorf("label node %s: %w", n.Name, err)
	}
	l.set.Add(float64(len(missing)))
	l.deps.Log.Info("node labelled", "node", n.Name, "instance", l.known[n.Name].instance, "labels", missing)
	l.event(n, corev1.EventTypeNormal, "NodeLabelled", "set %s as its group declares", list(missing))
	return nil
}

func (l *Labeler) event(n Node, kind, reason, format string, args ...any) {
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: types.UID(n.Name)}
	l.deps.Events.Eventf(about, kind, reason, format, args...)
}

func list(labels map[string]string) string {
	var pairs []string
	for k, v := range labels {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ", ")
}
