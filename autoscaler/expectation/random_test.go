package expectation_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/expectation"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/durable"
	"github.com/joinery/joinery/internal/fleet"
)

// fate is what a random world does with an instance or with a launch.
type fate int

const (
	refused   fate = iota // the launch fails and says so
	silent                // AWS launches nothing and says nothing
	elsewhere             // it comes in another zone
	nodeless              // it never becomes a node
	unready               // its node is never Ready
	lost                  // it ends before it is a node
	tainted               // its node has a taint that the template has not
	small                 // its node is smaller than the template
	robbed                // its node is filled by other pods
	flapping              // its node is Ready for a moment
	fates
)

// hostile is a world in which the pods never run, whatever is bought for them.
type hostile struct {
	r      *rand.Rand
	now    time.Time
	ledger *expectation.Ledger
	groups []cluster.Group
	nodes  []*corev1.Node
	pods   []*corev1.Pod
	others []*corev1.Pod // pods that rob nodes
	bound  map[string]binding.Verdict
	made   map[string]fate
	born   map[string]time.Time
	bought int // instances
	// only is the one fate of this world; -1 for a mixture.
	only    fate
	leaders bool // the leader changes now and then
}

func newHostile(seed uint64) *hostile {
	r := rand.New(rand.NewPCG(seed, 7))
	w := &hostile{
		r: r, now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), ledger: expectation.New(expectation.Options{}),
		bound: map[string]binding.Verdict{}, made: map[string]fate{}, born: map[string]time.Time{},
		only: fate(r.IntN(int(fates)+1)) - 1, leaders: r.IntN(2) == 0,
	}
	zones := []string{"us-west-2a", "us-west-2b", "us-west-2c"}
	have := corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("110")}
	for i := range 1 + r.IntN(2) {
		w.groups = append(w.groups, cluster.Group{
			Name: fmt.Sprint("group-", i), Max: 50, Zones: zones[:1+r.IntN(3)], InstanceType: "t3.medium", LaunchTemplateVersion: "1",
			Template: &cluster.Template{Capacity: have, Allocatable: have},
		})
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "app", UID: "app"}}
	p.Spec.SchedulerName = corev1.DefaultSchedulerName
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1500m")}}}}
	if r.IntN(2) == 0 {
		p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: zones[0]}
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	w.pods = []*corev1.Pod{p}
	return w
}

// step is one round of the loop and a minute of the world.
func (w *hostile) step(t *testing.T, braked bool) {
	t.Helper()
	w.now = w.now.Add(time.Minute)
	w.live()
	if w.leaders && w.r.IntN(40) == 0 {
		w.changeLeader(t)
	}
	o := scaleup.Options{AsScheduled: true}
	var s *cluster.Snapshot
	for range 2 {
		if braked {
			w.ledger.Apply(w.groups, w.now)
		}
		s = w.snapshot(t)
		if _, changed := w.ledger.Judge(s); !changed {
			break
		}
	}
	if braked {
		w.brake(s, &o)
	}
	plan := scaleup.Plan(s, w.now, o)
	if plan.Err != nil {
		t.Fatal(plan.Err)
	}
	w.buy(s, plan)
}

func (w *hostile) changeLeader(t *testing.T) {
	t.Helper()
	text, err := w.ledger.State(durable.MaxEntry)
	if err == nil {
		w.ledger = expectation.New(expectation.Options{})
		err = w.ledger.Restore(text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *hostile) snapshot(t *testing.T) *cluster.Snapshot {
	t.Helper()
	s, err := cluster.New(cluster.Input{Now: w.now, Groups: w.groups, Nodes: w.nodes, Bindings: w.bound, Pods: append(append([]*corev1.Pod{}, w.pods...), w.others...)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *hostile) brake(s *cluster.Snapshot, o *scaleup.Options) {
	o.Held = func(p cluster.Pod) scaleup.Hold {
		reason, coming := w.ledger.Held(p.UID, expectation.SubjectOf(p.Class), w.now)
		return scaleup.Hold{Reason: reason, Coming: coming}
	}
	o.Brakes = func(c *cluster.Class) map[string]string {
		return w.ledger.Refusals(expectation.SubjectOf(c), func(g string) string { return s.Group(g).LaunchTemplateVersion }, w.now)
	}
}

// buy raises the groups as the plan has it, and records it.
func (w *hostile) buy(s *cluster.Snapshot, plan scaleup.Decision) {
	pods := map[string][]expectation.Pod{}
	for _, p := range plan.Placements {
		for _, pending := range s.Pending() {
			if pending.UID == p.Pod.UID {
				pods[p.Node] = append(pods[p.Node], expectation.Pod{UID: p.Pod.UID, Subject: expectation.SubjectOf(pending.Class)})
			}
		}
	}
	for i := range w.groups {
		g := &w.groups[i]
		launch := expectation.Launch{Group: g.Name, Version: "1", Type: g.InstanceType, At: w.now}
		for _, n := range plan.NewNodes {
			if n.Group == g.Name {
				launch.Nodes = append(launch.Nodes, expectation.Node{Zone: n.Zone, Sure: s.SureZone(n.Group, n.Zone, nil), Pods: pods[n.Name]})
			}
		}
		if len(launch.Nodes) > 0 {
			w.ledger.Record(launch)
			g.Desired += len(launch.Nodes)
		}
	}
}

// live lets AWS and the nodes go on.
func (w *hostile) live() {
	for i := range w.groups {
		g := &w.groups[i]
		for g.Missing() > 0 && w.launch(g) {
		}
		kept := g.Instances[:0:0]
		for _, in := range g.Instances {
			if w.age(g, in) {
				kept = append(kept, in)
			} else {
				g.Desired--
				w.drop(in.ID)
			}
		}
		g.Instances = kept
	}
}

func (w *hostile) fate() fate {
	if w.only >= 0 {
		return w.only
	}
	return fate(w.r.IntN(int(fates)))
}

// launch launches one instance that the group misses, or fails to.
func (w *hostile) launch(g *cluster.Group) bool {
	f := w.fate()
	switch f {
	case silent:
		return false
	case refused:
		g.LaunchFailure = cluster.LaunchFailure{At: w.now, Cause: "InsufficientInstanceCapacity"}
		g.Desired = len(g.Instances)
		return false
	}
	w.bought++
	in := cluster.Instance{ID: fmt.Sprintf("i-%017x", w.bought), Zone: g.Zones[w.r.IntN(len(g.Zones))], Type: g.InstanceType, LifecycleState: "InService", LaunchedAt: w.now}
	if f == elsewhere {
		in.Zone = "us-west-2c"
	}
	w.made[in.ID], w.born[in.ID] = f, w.now
	g.Instances = append(g.Instances, in)
	return true
}

// age lets an instance grow older and reports whether it stays. What is of no use is
// taken away after a while, as scale-down and the replacement of instances do.
func (w *hostile) age(g *cluster.Group, in cluster.Instance) bool {
	f, age := w.made[in.ID], w.now.Sub(w.born[in.ID])
	switch {
	case f == lost && age >= time.Minute:
		return false
	case f == nodeless && age > 16*time.Minute, age > 25*time.Minute:
		return false
	case f == nodeless || f == lost || age < time.Minute:
		return true
	}
	for _, n := range w.nodes {
		if n.Name == in.ID {
			if f == flapping && age > 2*time.Minute {
				n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
			}
			return true
		}
	}
	w.join(g, in, f)
	return true
}

func (w *hostile) join(g *cluster.Group, in cluster.Instance, f fate) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: in.ID, UID: types.UID(in.ID), CreationTimestamp: metav1.NewTime(w.now), Labels: map[string]string{corev1.LabelHostname: in.ID, corev1.LabelTopologyZone: in.Zone}}}
	n.Status.Capacity, n.Status.Allocatable = g.Template.Capacity.DeepCopy(), g.Template.Allocatable.DeepCopy()
	ready := corev1.ConditionTrue
	switch f {
	case unready:
		ready = corev1.ConditionFalse
	case tainted, elsewhere:
		n.Spec.Taints = []corev1.Taint{{Key: "example.com/quarantine", Effect: corev1.TaintEffectNoSchedule}}
	case small:
		n.Status.Allocatable["cpu"] = resource.MustParse("1400m")
	case robbed:
		thief := w.pods[0].DeepCopy()
		thief.Name, thief.UID, thief.Spec.NodeName = "thief-"+in.ID, types.UID("thief-"+in.ID), in.ID
		thief.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("600m")
		thief.Status = corev1.PodStatus{Phase: corev1.PodRunning}
		w.others = append(w.others, thief)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
	w.nodes = append(w.nodes, n)
	w.bound[n.Name] = binding.Verdict{Standing: binding.Bound, Reason: binding.FactsAgree, InstanceID: in.ID, Instance: &fleet.Instance{ID: in.ID, State: "running"}}
}

func (w *hostile) drop(id string) {
	for i, n := range w.nodes {
		if n.Name == id {
			w.nodes = append(w.nodes[:i], w.nodes[i+1:]...)
			break
		}
	}
	delete(w.bound, id)
}

// mostInVain bounds the instances that six hours of a hostile world cost one pod.
const mostInVain = 9

func inVain(t *testing.T, seed uint64, braked bool) int {
	t.Helper()
	w := newHostile(seed)
	for range 6 * 60 {
		w.step(t, braked)
	}
	return w.bought
}

// Whatever the world does, instances launched for a pod that never runs are few; and
// without the brakes they are not.
func TestInstancesForAPodThatNeverRunsAreFew(t *testing.T) {
	most, unbraked := 0, 0
	for seed := range uint64(60) {
		n := inVain(t, seed, true)
		if most = max(most, n); n > mostInVain {
			t.Errorf("seed %d: %d instances in six hours, want at most %d", seed, n, mostInVain)
		}
	}
	for seed := range uint64(4) {
		unbraked = max(unbraked, inVain(t, seed, false))
	}
	t.Logf("at most %d instances with the brakes, up to %d without", most, unbraked)
	if unbraked <= 2*mostInVain {
		t.Errorf("without the brakes at most %d instances: these worlds show nothing", unbraked)
	}
}
