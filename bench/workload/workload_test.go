package workload

import (
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

var mixes = map[string]Mix{
	"plain": Plain, "one": PlainOne, "tiny": PlainTiny, "spread": Spread, "spread-hostname": SpreadHostname,
	"affinity": Affinity, "anti-affinity": AntiAffinity, "diverse": Diverse,
	"sets": ReplicaSets(7), "apart": ReplicaSetsApart(7), "sets-spread": ReplicaSetsSpread(7),
}

func TestSameSpecSameObjects(t *testing.T) {
	for name, mix := range mixes {
		spec := Spec{Mix: mix, Pods: 101, Nodes: 5, Groups: 4, Shapes: FourShapes, Seed: 1}
		a, b := spec.Input(), spec.Input()
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: the same spec gives other objects", name)
		}
		if a.Pods[0] == b.Pods[0] || a.Nodes[0] == b.Nodes[0] {
			t.Errorf("%s: two workloads share objects", name)
		}
	}
}

func TestEveryMixIsASnapshotOfItsSize(t *testing.T) {
	for name, mix := range mixes {
		s, err := cluster.New(Spec{Mix: mix, Pods: 101, Nodes: 5, Groups: 3, Seed: 1}.Input())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Pending()) != 101 || len(s.Nodes()) != 5 {
			t.Errorf("%s: %d pending pods and %d nodes, want 101 and 5", name, len(s.Pending()), len(s.Nodes()))
		}
	}
}

func TestUIDsAreUnique(t *testing.T) {
	seen := map[types.UID]bool{}
	for _, pod := range (Spec{Mix: Diverse, Pods: 500, Nodes: 20, Groups: 3}).Input().Pods {
		if seen[pod.UID] {
			t.Fatalf("uid %s stands twice", pod.UID)
		}
		seen[pod.UID] = true
	}
}

func TestFullNodesTakeNoPendingPod(t *testing.T) {
	in := Spec{Mix: Plain, Pods: 100, Nodes: 6, Groups: 3}.Input()
	least := leastPending(in)
	for node, free := range FreeByNode(in) {
		if least.Within(free) || free[0] < 0 || free[1] < 0 {
			t.Errorf("node %s has %v left, the smallest pod asks for %v", node, free, least)
		}
	}
}

func TestBounds(t *testing.T) {
	one := Spec{Mix: PlainOne, Pods: 31, Groups: 3}.Input()
	if got := NewNodesBound(one); got != 3 {
		t.Errorf("31 pods of half a core need %d nodes of 7.9 cores at least, want 3: fifteen fit on each", got)
	}
	tiny := Spec{Mix: func(m *maker, pods int) {
		for range pods {
			m.add("t", 1, 1)
		}
	}, Pods: 111, Groups: 1}.Input()
	if got := NewNodesBound(tiny); got != 2 {
		t.Errorf("111 tiny pods need %d nodes of 110 pods at least, want 2", got)
	}
	idle := Spec{Nodes: 10, Groups: 1, Load: 0.4}.Input()
	if got := KeptNodesBound(idle); got != 4 {
		t.Errorf("10 nodes at 40%% could be %d, want 4", got)
	}
}

func TestExistingRoomLowersTheBound(t *testing.T) {
	in := Spec{Mix: PlainOne, Pods: 16, Nodes: 2, Groups: 1, Load: 0.5}.Input()
	if got := NewNodesBound(in); got != 1 {
		t.Errorf("16 pods beside two half-empty nodes need %d new nodes by resources, want 1", got)
	}
}

func TestGroupsTakeTurns(t *testing.T) {
	zones := map[string]int{}
	for _, g := range (Spec{Groups: 12}).Input().Groups {
		zones[g.Zones[0]]++
	}
	for _, zone := range Zones {
		if zones[zone] != 4 {
			t.Errorf("%d groups in %s, want 4", zones[zone], zone)
		}
	}
}
