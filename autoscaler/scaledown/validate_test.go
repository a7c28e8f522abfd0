package scaledown_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/autoscaler/validate"
)

const (
	disabledKey = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	safeKey     = "cluster-autoscaler.kubernetes.io/safe-to-evict"
)

// random is a cluster of every kind whose nodes have been unneeded for long, with
// protections here and there.
func random(seed uint64) cluster.Input {
	r := rand.New(rand.NewPCG(seed, 5))
	in := ct.Random(seed)
	for i := range in.Groups {
		in.Groups[i].Min = r.IntN(2)
	}
	for _, n := range in.Nodes {
		unneeded(n, time.Hour)
		switch r.IntN(10) {
		case 0:
			metav1.SetMetaDataAnnotation(&n.ObjectMeta, disabledKey, "true")
		case 1:
			agent(n, "False", "HoldFile", time.Hour)
		case 2:
			agent(n, "True", "Idle", time.Hour)
		}
	}
	for _, p := range in.Pods {
		if p.Spec.NodeName != "" && r.IntN(12) == 0 {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, safeKey, "false")
		}
	}
	return in
}

// protected says, apart from the planner's own rules, why a node must not go.
func protected(in cluster.Input, n *corev1.Node) string {
	if n.Annotations[disabledKey] == "true" {
		return "it is annotated"
	}
	for _, c := range n.Status.Conditions {
		if c.Reason == "HoldFile" {
			return "it is held"
		}
	}
	for _, p := range in.Pods {
		if p.Spec.NodeName == n.Name && p.Annotations[safeKey] == "false" && p.DeletionTimestamp == nil {
			return "pod " + p.Name + " must not be evicted"
		}
	}
	return ""
}

func checkRemovals(t *testing.T, in cluster.Input, d scaledown.Decision) {
	t.Helper()
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	var removed []string
	for _, r := range d.Remove {
		removed = append(removed, r.Node)
		at := slices.IndexFunc(in.Nodes, func(n *corev1.Node) bool { return n.Name == r.Node })
		if why := protected(in, in.Nodes[at]); why != "" {
			t.Errorf("%s goes though %s", r.Node, why)
		}
	}
	keepsBudgets(t, in, d)
	problems, err := validate.Check(ct.Honest(in), validate.Plan{Removed: removed, Placements: d.Moves}, profile, validate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s", p)
	}
}

func TestRemovalsAreValid(t *testing.T) {
	total, moved := 0, 0
	for seed := range uint64(1500) {
		in := random(seed)
		d := plan(t, in, scaledown.Options{MaxParallel: 100, MaxDrains: 100, UtilizationThreshold: 0.9})
		checkRemovals(t, in, d)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		total += len(d.Remove)
		for _, r := range d.Remove {
			moved += len(r.Pods)
		}
	}
	if total < 150 || moved < 80 {
		t.Errorf("only %d removals with %d pods over all clusters: they test too little", total, moved)
	}
}

func FuzzRemovals(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		in := random(seed)
		checkRemovals(t, in, plan(t, in, scaledown.Options{MaxParallel: 100, MaxDrains: 100, UtilizationThreshold: 0.9}))
	})
}

// world carries out plans with unchanged pods, as time goes by.
type world struct {
	t     *testing.T
	in    cluster.Input
	round int
}

// grow plans and carries out a scale-up: the nodes join and the pods run where the
// plan has them.
func (w *world) grow() bool {
	w.t.Helper()
	s, err := cluster.New(ct.Honest(w.in))
	if err != nil {
		w.t.Fatal(err)
	}
	d := scaleup.Plan(s, w.in.Now, scaleup.Options{})
	if d.Err != nil {
		w.t.Fatal(d.Err)
	}
	names := map[string]string{}
	w.in.Groups, w.in.Nodes = slices.Clone(w.in.Groups), slices.Clone(w.in.Nodes)
	for i := range w.in.Groups {
		g := &w.in.Groups[i]
		g.Instances = slices.Clone(g.Instances)
		for j, n := range d.NewNodes {
			if n.Group == g.Name {
				g.Desired++
				node := ct.Join(g, fmt.Sprintf("i-r%02d-%03d", w.round, j), n.Zone)
				names[n.Name] = node.Name
				w.in.Nodes = append(w.in.Nodes, node)
			}
		}
	}
	w.run(d.Placements, names)
	return len(d.NewNodes) > 0
}

// run binds pods to the nodes that are there, and leaves the others pending.
func (w *world) run(placements []cluster.Placement, names map[string]string) {
	at := map[types.UID]string{}
	for _, p := range placements {
		name := p.Node
		if names[name] != "" {
			name = names[name]
		}
		if slices.ContainsFunc(w.in.Nodes, func(n *corev1.Node) bool { return n.Name == name }) {
			at[p.Pod.UID] = name
		}
	}
	var pods []*corev1.Pod
	for _, p := range w.in.Pods {
		if node := at[p.UID]; node != "" {
			p = p.DeepCopy()
			p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = node, corev1.PodRunning, nil
		}
		pods = append(pods, p)
	}
	w.in.Pods = pods
}

// shrink plans and carries out a scale-down, long after the growth.
func (w *world) shrink() bool {
	w.t.Helper()
	s, err := cluster.New(ct.Honest(w.in))
	if err != nil {
		w.t.Fatal(err)
	}
	d := scaledown.Plan(s, w.in.Now, scaledown.Options{})
	if d.Err != nil {
		w.t.Fatal(d.Err)
	}
	gone := map[string]bool{}
	for _, r := range d.Remove {
		gone[r.Node], gone[r.InstanceID] = true, true
	}
	w.in.Nodes = slices.DeleteFunc(slices.Clone(w.in.Nodes), func(n *corev1.Node) bool { return gone[n.Name] })
	for i, n := range w.in.Nodes {
		n = n.DeepCopy()
		delete(n.Labels, v1alpha1.UnneededSinceLabel)
		if since, ok := d.Unneeded[n.Name]; ok {
			metav1.SetMetaDataLabel(&n.ObjectMeta, v1alpha1.UnneededSinceLabel, strconv.FormatInt(since.Unix(), 10))
		}
		w.in.Nodes[i] = n
	}
	w.in.Groups = slices.Clone(w.in.Groups)
	for i := range w.in.Groups {
		g := &w.in.Groups[i]
		before := len(g.Instances)
		g.Instances = slices.DeleteFunc(slices.Clone(g.Instances), func(i cluster.Instance) bool { return gone[i.ID] })
		g.Desired -= before - len(g.Instances)
	}
	for i, p := range w.in.Pods {
		if gone[p.Spec.NodeName] {
			p = p.DeepCopy()
			p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
			w.in.Pods[i] = p
		}
	}
	w.run(d.Moves, nil)
	return len(d.Remove) > 0
}

// Growing and shrinking in turn, with unchanged pods, comes to rest and stays
// there: the two planners never work against each other.
func TestPlannersComeToRest(t *testing.T) {
	shrunk := 0
	for seed := range uint64(150) {
		w := &world{t: t, in: ct.Random(seed)}
		for i := range w.in.Groups {
			w.in.Groups[i].BackoffUntil = time.Time{}
		}
		calm := 0
		for ; w.round < 30 && calm < 3; w.round++ {
			grew := w.grow()
			w.in.Now = w.in.Now.Add(15 * time.Minute)
			less := w.shrink()
			if less {
				shrunk++
			}
			if grew && less && w.round > 3 {
				t.Errorf("seed %d: round %d grows and shrinks", seed, w.round)
			}
			calm++
			if grew || less {
				calm = 0
			}
		}
		if calm < 3 {
			t.Errorf("seed %d: no rest after %d rounds", seed, w.round)
		}
	}
	if shrunk < 30 {
		t.Errorf("only %d rounds shrank", shrunk)
	}
}
