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

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Labeler uses.
type finder interface {
	ByID(context.Context, ...string) ([]instances.Instance, error)
	Group(context.Context, string) (*instances.Group, error)
}

// declarations is the part of asg.Declarations that Labeler uses.
type declarations interface {
	Labels(ctx context.Context, from *astypes.LaunchTemplateSpecification, tags map[string]string) (map[string]string, error)
}

// Deps are what a Labeler works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Finder asks EC2 and Auto Scaling.
	Finder finder
	// Declarations knows which labels are wanted.
	Declarations declarations
	// Events gets what an operator should see, regarding the Node.
	Events record.EventRecorder
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// Log gets one line for each verdict and each change.
	Log *slog.Logger
}

const (
	// gather is how long to wait for further Nodes after the first: a hundred
	// that join at once are one question to EC2.
	gather = 100 * time.Millisecond
	// most is how many Nodes are looked at together.
	most = 200
	// patience bounds one look.
	patience = 30 * time.Second
	// refusedFor is how long a Node that was not proven is left alone: its
	// group may be tagged meanwhile.
	refusedFor = 10 * time.Minute
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

	queue workqueue.TypedRateLimitingInterface[string]
	known map[string]verdict // Node name -> what it was found to be
}

// verdict is a decision about one Node, for as long as it is the same one and
// says the same of itself. Its provider id cannot change.
type verdict struct {
	Decision
	uid       string
	addresses []string
	at        time.Time
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
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
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
	return v.uid == n.UID && slices.Equal(v.addresses, n.Addresses) && !old
}

// ask asks AWS about all of nodes, in one call for their instances and one for
// each of their groups. A Node about which there was no answer is left out.
func (l *Labeler) ask(ctx context.Context, nodes []Node) (map[string]Facts, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	var ids []string
	for _, n := range nodes {
		if !slices.Contains(ids, n.InstanceID) {
			ids = append(ids, n.InstanceID)
		}
	}
	found, err := l.deps.Finder.ByID(ctx, ids...)
	if err != nil {
		return nil, err
	}
	groups := map[string]*instances.Group{}
	out := map[string]Facts{}
	var failed []error
	for _, n := range nodes {
		var f Facts
		for _, i := range found {
			if i.ID == n.InstanceID {
				f.Found = append(f.Found, i)
			}
		}
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
func (l *Labeler) askGroup(ctx context.Context, f *Facts, groups map[string]*instances.Group) (err error) {
	if len(f.Found) != 1 || f.Found[0].Group == "" {
		return nil
	}
	i := f.Found[0]
	g, asked := groups[i.Group]
	if !asked {
		if g, err = l.deps.Finder.Group(ctx, i.Group); err != nil {
			return err
		}
		groups[i.Group] = g
	}
	if g == nil || !g.Managed(l.policy.Cluster) {
		return nil
	}
	f.Group = g
	f.Declared, err = l.deps.Declarations.Labels(ctx, g.Templates[i.ID], g.Tags)
	var unreadable *asg.UnreadableError
	if errors.As(err, &unreadable) {
		l.deps.Log.Warn("labels that are declared cannot be read", "group", g.Name, "instance", i.ID, "error", err)
		return nil
	}
	return err
}

// judge keeps what a Node was found to be, and says it if it is news.
func (l *Labeler) judge(n Node, f Facts) {
	d := Plan(n, f, l.policy)
	before, same := l.known[n.Name]
	l.known[n.Name] = verdict{Decision: d, uid: n.UID, addresses: n.Addresses, at: time.Now()}
	l.verdicts.WithLabelValues(string(d.Reason)).Inc()
	if same && before.uid == n.UID && before.Reason == d.Reason {
		return
	}
	l.deps.Log.Info("node's identity", "node", n.Name, "instance", n.InstanceID, "reason", d.Reason, "message", d.Message)
	if d.Reason.Lie() {
		l.event(n, corev1.EventTypeWarning, "IdentityNotProven", "no label of its group is set: %s: %s", d.Reason, d.Message)
	}
	if len(d.Refused) > 0 {
		l.event(n, corev1.EventTypeWarning, "LabelRefused", "its group declares %s: no declaration makes a node a master", strings.Join(d.Refused, ", "))
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
	l.deps.Log.Info("node labelled", "node", n.Name, "instance", n.InstanceID, "labels", missing)
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
