package scaleup

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// validate replays a plan on a fresh snapshot: every pod must fit, by the
// scheduler's filters, on the node that the plan has for it. Pods that need no
// growth come first, before there are new nodes; the order within is free, since
// the scheduler tries again until all have their place.
func validate(t *testing.T, in cluster.Input, o Options) Decision {
	t.Helper()
	p, d := run(t, in, o)
	s, err := cluster.New(in)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := fit.New(s)
	if err != nil {
		t.Fatal(err)
	}
	defer checker.Close()
	left := map[*corev1.Pod]string{}
	for pod, node := range p.home {
		left[pod] = node.Name()
	}
	replay(checker, s, left)
	planned := map[string]int{}
	for _, n := range p.s.Nodes() {
		if n.Kind == cluster.Planned {
			s.AddPlannedIn(n.Group, n.Name(), n.Zone)
			planned[n.Group]++
		}
	}
	replay(checker, s, left)
	for pod, node := range left {
		t.Errorf("pod %s does not fit on %s: %s", pod.Name, node, checker.Fits(pod, node))
	}
	checkSums(t, s, d, planned)
	return d
}

// run plans like Plan and keeps the planner's places and nodes.
func run(t *testing.T, in cluster.Input, o Options) (*planner, Decision) {
	t.Helper()
	s, err := cluster.New(in)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := fit.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(checker.Close)
	p := &planner{s: s, now: in.Now, o: o, checker: checker, home: map[*corev1.Pod]*cluster.NodeState{}}
	return p, p.plan()
}

func replay(c *fit.Checker, s *cluster.Snapshot, left map[*corev1.Pod]string) {
	for progress := true; progress; {
		progress = false
		for pod, node := range left {
			if s.Node(node) != nil && c.Fits(pod, node) == nil && s.AddPod(pod, node) == nil {
				delete(left, pod)
				progress = true
			}
		}
	}
}

func checkSums(t *testing.T, s *cluster.Snapshot, d Decision, planned map[string]int) {
	t.Helper()
	seen := map[types.NamespacedName]int{}
	for _, inc := range d.Increases {
		g := s.Group(inc.Group)
		if inc.To > g.Max || inc.From != g.Desired || inc.To-inc.From != planned[inc.Group] {
			t.Errorf("%s: %d to %d, with max %d, desired %d, %d nodes planned", inc.Group, inc.From, inc.To, g.Max, g.Desired, planned[inc.Group])
		}
		for _, pod := range inc.Pods {
			seen[pod]++
		}
	}
	for _, r := range append(append([]PodReason{}, d.Waiting...), d.Unhelped...) {
		seen[r.Pod]++
		if r.Reason == "" {
			t.Errorf("pod %s has no reason", r.Pod)
		}
	}
	for _, pod := range s.Pending() {
		if seen[cluster.Key(pod)] != 1 {
			t.Errorf("pod %s is named %d times in the plan", pod.Name, seen[cluster.Key(pod)])
		}
	}
}

func TestPlansAreValid(t *testing.T) {
	grown := 0
	for seed := range uint64(60) {
		d := validate(t, Random(seed), Options{})
		grown += len(d.Increases)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if grown < 40 {
		t.Errorf("only %d increases over all workloads: they test too little", grown)
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { validate(t, Random(seed), Options{}) })
}
