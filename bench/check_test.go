package main

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/bench/workload"
)

// placed puts the pending pods on so many new nodes in turn; the nodes are of
// the groups, and so of the zones, in turn.
func placed(spec workload.Spec, nodes int) (cluster.Input, outcome) {
	in := spec.Input()
	var o outcome
	for i := range nodes {
		g := in.Groups[i%len(in.Groups)]
		o.newNodes = append(o.newNodes, cluster.NewNode{Name: "new-" + string(rune('a'+i)), Group: g.Name, Zone: g.Zones[0]})
	}
	for i, pod := range in.Pods {
		if nodes > 0 {
			o.placements = append(o.placements, cluster.Placement{Pod: pod, Node: o.newNodes[i%nodes].Name})
		}
	}
	return in, o
}

func TestCheck(t *testing.T) {
	one := workload.Spec{Mix: workload.PlainOne, Pods: 30, Groups: 3}
	apart := workload.Spec{Mix: workload.AntiAffinity, Pods: 10, Groups: 3}
	for _, tt := range []struct {
		name  string
		spec  workload.Spec
		nodes int
		spoil func(o *outcome)
		want  string
	}{
		{"enough nodes", one, 2, nil, ""},
		{"too few nodes", one, 1, nil, "does not fit"},
		{"no plan at all", one, 0, nil, "30 pods have no place"},
		{"reported as left", one, 0, func(o *outcome) { o.unplaced = 30 }, ""},
		{"placed twice", one, 3, func(o *outcome) { o.placements = append(o.placements, o.placements[0]) }, "placed twice"},
		{"unknown node", one, 3, func(o *outcome) { o.placements[0].Node = "nowhere" }, "will not be there"},
		{"apart", apart, 5, func(o *outcome) {
			for i := range o.placements {
				o.placements[i].Node = o.newNodes[i/5].Name
			}
		}, ""},
		{"not apart", apart, 5, nil, "2 pods in one domain"},
		{"spread", workload.Spec{Mix: workload.Spread, Pods: 20, Groups: 3}, 4, nil, ""},
		{"not spread", workload.Spec{Mix: workload.Spread, Pods: 40, Groups: 3}, 10, nil, "skew of 2"},
		{"near", workload.Spec{Mix: workload.Affinity, Pods: 7, Groups: 1}, 3, nil, ""},
		{"not near", workload.Spec{Mix: workload.Affinity, Pods: 14, Groups: 3}, 5, nil, "wants one"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in, o := placed(tt.spec, tt.nodes)
			if tt.spoil != nil {
				tt.spoil(&o)
			}
			got, err := check(in, o)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRemovedNodesNeedPlacesForTheirPods(t *testing.T) {
	in := workload.Spec{Nodes: 2, Groups: 1, Load: 0.4}.Input()
	o := outcome{removed: map[string]bool{in.Nodes[0].Name: true}}
	if got, _ := check(in, o); !strings.Contains(got, "30 pods have no place") {
		t.Errorf("found %q where the pods of a node are forgotten", got)
	}
	for _, pod := range in.Pods[:30] {
		o.placements = append(o.placements, cluster.Placement{Pod: pod, Node: in.Nodes[1].Name})
	}
	if got, _ := check(in, o); got != "" {
		t.Errorf("found %q, want nothing", got)
	}
	o.removed[in.Nodes[1].Name] = true
	if got, _ := check(in, o); got == "" {
		t.Error("found nothing wrong with pods on a node that goes")
	}
}
