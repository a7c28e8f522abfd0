package cluster_test

import (
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/internal/kube"
)

// An instance whose Node was deleted is young, in service and not on its way.
func TestInstanceThatWasANodeIsNotUpcoming(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for joined, want := range map[bool]int{false: 1, true: 0} {
		g := ct.Group("workers", 0, 1, 5, "2", "4Gi", "us-west-2a")
		ct.Join(&g, "i-1", "us-west-2a") // and its Node is deleted
		g.Instances[0].LaunchedAt = at.Add(-time.Minute)
		in := cluster.Input{Now: at, Groups: []cluster.Group{g}, Joined: map[cluster.InstanceID]bool{ct.InstanceID("i-1"): joined}}
		s, err := cluster.New(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(s.Nodes()); got != want {
			t.Errorf("joined %t: %d nodes to come, want %d", joined, got, want)
		}
	}
}

// TestUsableAndLostExclude: whatever is wrong with a node, pods cannot both run on it and be
// lost with it, and one that is being removed is no riddle.
func TestUsableAndLostExclude(t *testing.T) {
	seen := map[[2]bool]int{}
	for seed := range uint64(300) {
		in := ct.Random(seed)
		r := rand.New(rand.NewPCG(seed, 7))
		for _, n := range in.Nodes {
			if c := kube.Condition(n, corev1.NodeReady); c != nil && r.IntN(2) == 0 {
				c.Status = corev1.ConditionUnknown
			}
			if r.IntN(5) == 0 {
				n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule})
			}
		}
		s, err := cluster.New(ct.Honest(in))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range s.Nodes() {
			usable, lost := n.Usable(), n.Lost()
			seen[[2]bool{usable, lost}]++
			if usable && lost || lost && kube.Marked(n.Node()) || usable && !kube.KubeletReady(n.Node()) {
				t.Fatalf("seed %d: node %s is usable %t, lost %t", seed, n.Name(), usable, lost)
			}
		}
	}
	if seen[[2]bool{true, false}] == 0 || seen[[2]bool{false, true}] == 0 || seen[[2]bool{false, false}] == 0 {
		t.Errorf("the worlds test too little: %v", seen)
	}
}

func TestTooManyUnready(t *testing.T) {
	for _, tt := range []struct {
		unready, total int
		want           bool
	}{{0, 0, false}, {3, 3, false}, {4, 4, true}, {4, 8, true}, {4, 9, false}, {9, 20, false}, {10, 20, true}, {45, 100, false}, {46, 100, true}} {
		if got := cluster.TooManyUnready(tt.unready, tt.total); got != tt.want {
			t.Errorf("%d of %d: %t", tt.unready, tt.total, got)
		}
	}
}
