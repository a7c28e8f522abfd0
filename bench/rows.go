package main

import (
	"fmt"

	"github.com/joinery/joinery/bench/workload"
)

// row is one workload to measure.
type row struct {
	name string
	spec workload.Spec
	// peer says that Karpenter plans the workload too. It is left out where it
	// would need about a minute for one solution.
	peer bool
	// down asks for a round of the autoscaler without pending pods, which plans
	// growth and removal; together says that all nodes may go in one plan.
	down, together bool
	// asScheduled sizes the plan for how kube-scheduler places pods, which is the
	// controller's default; the other rows pack.
	asScheduled bool
	// ca is what Cluster Autoscaler's first RunOnce took on a workload of this
	// shape, in seconds: the median of recorded runs. It was measured elsewhere,
	// on another day of the same kind of machine. 0 when there is no record.
	ca float64
}

func (r row) String() string {
	return fmt.Sprintf("%s/%dx%dx%d", r.name, r.spec.Pods, r.spec.Nodes, r.spec.Groups)
}

const seed = 42

// up is a row with pending pods.
func up(name string, mix workload.Mix, pods, nodes, groups int, peer bool) row {
	return row{name: name, peer: peer, spec: workload.Spec{Mix: mix, Pods: pods, Nodes: nodes, Groups: groups, Seed: seed}}
}

// down is a row without pending pods.
func down(name string, nodes int, load float64) row {
	return row{name: name, down: true, spec: workload.Spec{Nodes: nodes, Groups: 12, Load: load, Seed: seed}}
}

// likeCA is a row in the shape that Cluster Autoscaler was measured on, with
// what it took: machines of four shapes, nodes that are 97 % full.
func likeCA(name string, mix workload.Mix, pods, nodes, groups int, seconds float64) row {
	r := up("ca-"+name, mix, pods, nodes, groups, false)
	r.spec.Shapes, r.spec.Load, r.ca = workload.FourShapes, 0.97, seconds
	return r
}

// downLikeCA is a row without pending pods in such a shape.
func downLikeCA(name string, nodes, perNode int, load, seconds float64) row {
	r := down("ca-"+name, nodes, load)
	r.spec.Shapes, r.spec.PodsPerNode, r.ca = workload.FourShapes, perNode, seconds
	return r
}

// together lets all nodes of the row go in one plan.
func together(r row) row {
	r.together = true
	return r
}

// sized makes the row's plan one that is sized for the scheduler.
func sized(r row) row {
	r.asScheduled = true
	return r
}

// fullRows are the rows of a full run.
func fullRows() []row {
	rows := append(plainRows(), constrainedRows()...)
	return append(append(rows, downRows()...), caRows()...)
}

func plainRows() []row {
	return []row{
		up("plain", workload.Plain, 1000, 0, 3, true),
		up("plain", workload.Plain, 5000, 0, 3, true),
		up("plain", workload.Plain, 10_000, 0, 3, true),
		up("plain", workload.Plain, 50_000, 0, 3, false),
		up("plain-one", workload.PlainOne, 5000, 0, 3, true),
		up("plain-one", workload.PlainOne, 50_000, 0, 3, false),
		up("plain-tiny", workload.PlainTiny, 15_000, 0, 3, true),
		up("plain-existing", workload.Plain, 1000, 1000, 12, true),
		up("plain-existing", workload.Plain, 5000, 1000, 12, true),
		up("plain-existing", workload.Plain, 1000, 5000, 12, true),
		up("plain-existing", workload.Plain, 50_000, 5000, 12, false),
		up("plain-groups", workload.Plain, 1000, 0, 12, true),
		up("plain-groups", workload.Plain, 1000, 0, 100, true),
		up("plain-groups", workload.Plain, 10_000, 1000, 100, false),
		sized(up("as-scheduled", workload.Plain, 1000, 0, 3, true)),
		sized(up("as-scheduled", workload.Plain, 5000, 0, 3, true)),
		sized(up("as-scheduled", workload.Plain, 50_000, 5000, 12, false)),
	}
}

func constrainedRows() []row {
	return []row{
		up("spread", workload.Spread, 1000, 0, 3, true),
		up("spread", workload.Spread, 5000, 0, 3, true),
		up("spread", workload.Spread, 1000, 1000, 12, true),
		up("spread", workload.Spread, 10_000, 1000, 12, false),
		up("spread-hostname", workload.SpreadHostname, 1000, 0, 3, true),
		up("spread-hostname", workload.SpreadHostname, 5000, 0, 3, true),
		up("affinity", workload.Affinity, 1000, 0, 3, true),
		up("affinity", workload.Affinity, 5000, 0, 3, true),
		up("affinity", workload.Affinity, 10_000, 1000, 12, false),
		up("anti-affinity", workload.AntiAffinity, 1000, 0, 3, true),
		up("anti-affinity", workload.AntiAffinity, 5000, 0, 3, true),
		up("anti-affinity", workload.AntiAffinity, 1000, 1000, 12, true),
		up("anti-affinity", workload.AntiAffinity, 10_000, 1000, 12, false),
		up("diverse", workload.Diverse, 1000, 0, 3, true),
		up("diverse", workload.Diverse, 5000, 0, 3, true),
		up("diverse", workload.Diverse, 10_000, 0, 3, true),
		up("diverse", workload.Diverse, 1000, 1000, 12, true),
		up("diverse", workload.Diverse, 10_000, 1000, 12, false),
		up("diverse", workload.Diverse, 50_000, 5000, 100, false),
	}
}

func downRows() []row {
	return []row{
		down("idle", 1000, 0.97),
		down("idle", 5000, 0.97),
		down("scale-down", 1000, 0.4),
		down("scale-down", 5000, 0.4),
		together(down("scale-down-together", 1000, 0.4)),
		together(down("scale-down-together", 5000, 0.4)),
	}
}

// caRows have the shapes of Cluster Autoscaler's records and what is in them.
func caRows() []row {
	many := together(downLikeCA("scale-down-together", 2000, 40, 0.4, 27.1))
	many.spec.Shapes, many.spec.Groups = []workload.Shape{workload.EightCores}, 1
	return []row{
		likeCA("sets", workload.ReplicaSets(20), 1000, 100, 4, 0.40),
		likeCA("sets", workload.ReplicaSets(60), 3000, 1000, 12, 5.2),
		likeCA("sets", workload.ReplicaSets(20), 1000, 960, 60, 6.0),
		likeCA("sets", workload.ReplicaSets(100), 5000, 5000, 12, 44),
		likeCA("sets", workload.ReplicaSets(100), 30_000, 1000, 12, 80),
		likeCA("one-set", workload.ReplicaSets(1), 100, 1000, 12, 0.95),
		likeCA("anti-affinity", workload.ReplicaSetsApart(1), 100, 1000, 12, 17.6),
		likeCA("anti-affinity", workload.ReplicaSetsApart(5), 500, 1000, 12, 67),
		likeCA("zone-spread", workload.ReplicaSetsSpread(1), 60, 96, 12, 0.1),
		likeCA("one-group", workload.TenPerNode, 50_000, 0, 1, 13.9),
		downLikeCA("idle", 1000, 30, 0.97, 0.765),
		downLikeCA("idle", 5000, 30, 0.97, 4.3),
		downLikeCA("scale-down", 1000, 30, 0.4, 2.35),
		many,
	}
}

// smokeRows are the same kinds of rows in sizes that take seconds together.
func smokeRows() []row {
	return []row{
		up("plain", workload.Plain, 100, 0, 3, true),
		up("plain-one", workload.PlainOne, 100, 0, 3, true),
		up("plain-tiny", workload.PlainTiny, 150, 0, 3, true),
		up("plain-existing", workload.Plain, 60, 30, 12, true),
		up("plain-groups", workload.Plain, 60, 0, 100, true),
		up("spread", workload.Spread, 100, 0, 3, true),
		up("spread-hostname", workload.SpreadHostname, 60, 0, 3, true),
		up("affinity", workload.Affinity, 70, 0, 3, true),
		up("anti-affinity", workload.AntiAffinity, 50, 0, 3, true),
		up("diverse", workload.Diverse, 100, 0, 3, true),
		down("idle", 24, 0.97),
		down("scale-down", 24, 0.4),
		together(down("scale-down-together", 24, 0.4)),
		likeCA("anti-affinity", workload.ReplicaSetsApart(1), 20, 24, 12, 0),
	}
}
