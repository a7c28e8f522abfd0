package cluster

import (
	"fmt"
	"slices"

	"github.com/joinery/joinery/internal/binding"
)

// excluded says why a Node with that verdict counts as nothing. Empty when it is
// bound to an instance, or adopted.
func excluded(v *binding.Verdict) string {
	switch v.Standing {
	case binding.Bound, binding.Adopted:
		return ""
	case binding.Impostor:
		return fmt.Sprintf("the node is an impostor: %s (%s)", v.Message, v.Reason)
	case "":
		return "the node's instance has not been looked up yet"
	}
	return fmt.Sprintf("the node is no known instance: %s (%s)", v.Message, v.Reason)
}

// bound lowers what the node reports to what its instance type has, by EC2's
// word: pods that would move to a node must not count on room that it invents. Of
// a resource that the group's nodes agree on, such as a GPU that is shared in
// time, as much as that counts. An excluded node has nothing.
func (n *NodeState) bound(g *Group) {
	if n.Excluded != "" {
		n.Allocatable, n.Size = Amounts{}, Amounts{}
		return
	}
	if g == nil || n.Instance == nil {
		return
	}
	most, ok := g.Hardware[n.Instance.Type]
	if !ok {
		return
	}
	a := &n.Allocatable
	a.MilliCPU, a.Memory = min(a.MilliCPU, most.MilliCPU), min(a.Memory, most.Memory)
	n.Size.MilliCPU, n.Size.Memory = sizeOf(a.MilliCPU, most.MilliCPU), sizeOf(a.Memory, most.Memory)
	owned := false
	for _, hw := range most.Scalar {
		limit := hw.Value
		if g.Template != nil {
			q := g.Template.Allocatable[hw.Name]
			limit = max(limit, q.Value())
		}
		i := slices.IndexFunc(a.Scalar, func(s Scalar) bool { return s.Name == hw.Name })
		if i < 0 || a.Scalar[i].Value <= limit {
			continue
		}
		if !owned {
			a.Scalar, owned = slices.Clone(a.Scalar), true
		}
		a.Scalar[i].Value = limit
	}
}

// sizeOf returns what counts of a resource as the node's size. No kubelet reserves
// more than half of its machine for itself.
func sizeOf(reported, hardware int64) int64 {
	if 2*reported < hardware {
		return hardware
	}
	return reported
}
