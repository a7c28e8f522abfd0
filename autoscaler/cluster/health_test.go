package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
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
	half, one := cluster.UnreadyLimits{Count: 3, Percent: 0.5}, cluster.UnreadyLimits{Count: 1, Percent: 100}
	for _, tt := range []struct {
		limits         cluster.UnreadyLimits
		unready, total int
		want           bool
	}{
		{cluster.DefaultUnready, 0, 0, false}, {cluster.DefaultUnready, 3, 3, false}, {cluster.DefaultUnready, 4, 4, true},
		{cluster.DefaultUnready, 4, 8, true}, {cluster.DefaultUnready, 4, 9, false}, {cluster.DefaultUnready, 9, 20, false},
		{cluster.DefaultUnready, 10, 20, true}, {cluster.DefaultUnready, 45, 100, false}, {cluster.DefaultUnready, 46, 100, true},
		{cluster.UnreadyLimits{}, 0, 9, false}, {cluster.UnreadyLimits{}, 1, 1000, true},
		{half, 4, 800, false}, {half, 5, 800, true}, {one, 9, 9, false},
	} {
		if got := tt.limits.Exceeded(tt.unready, tt.total); got != tt.want {
			t.Errorf("%d of %d with %+v: %t", tt.unready, tt.total, tt.limits, got)
		}
	}
}

// TestBrakeFollowsItsLimits: of the cluster, and of one zone.
func TestBrakeFollowsItsLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		limits *cluster.UnreadyLimits
		want   string
	}{
		"default":           {nil, ""},
		"a fifth":           {&cluster.UnreadyLimits{Count: 1, Percent: 19}, "2 of 10 nodes are not Ready"},
		"a third, by zone":  {&cluster.UnreadyLimits{Count: 1, Percent: 33}, "2 of 5 nodes in zone us-west-2a are not Ready"},
		"two are all right": {&cluster.UnreadyLimits{Count: 2}, ""},
	} {
		in := cluster.Input{Unready: tt.limits}
		g := ct.Group("workers", 0, 10, 20, "2", "4Gi", "us-west-2a", "us-west-2b")
		for i := range 10 {
			n := ct.Join(&g, fmt.Sprintf("i-%d", i), g.Zones[i%2])
			if i == 0 || i == 2 {
				kube.Condition(n, corev1.NodeReady).Status = corev1.ConditionUnknown
			}
			in.Nodes = append(in.Nodes, n)
		}
		in.Groups = []cluster.Group{g}
		s, err := cluster.New(ct.Honest(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Brake(); got != tt.want && (tt.want == "" || !strings.HasPrefix(got, tt.want)) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
