package fit

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Packer puts pods on the first node of a list that they fit on. While it is in
// use the snapshot must change only through it, or by nodes given to Add; take a
// Clone before a fork that may be reverted.
type Packer struct {
	checker *Checker
	nodes   []*cluster.NodeState
	// next: class key -> place in nodes before which every node is known to
	// refuse the class. Kept for monotone classes only.
	next    map[string]int
	classes map[types.UID]Class
}

// NewPacker makes a Packer over the nodes, tried in the given order.
func NewPacker(c *Checker, nodes []*cluster.NodeState) *Packer {
	return &Packer{checker: c, nodes: slices.Clone(nodes), next: map[string]int{}, classes: map[types.UID]Class{}}
}

// Clone copies what the Packer knows. The pods' classes are shared.
func (p *Packer) Clone() *Packer {
	return &Packer{checker: p.checker, nodes: slices.Clone(p.nodes), next: maps.Clone(p.next), classes: p.classes}
}

// Add puts a node at the end of the list.
func (p *Packer) Add(node *cluster.NodeState) { p.nodes = append(p.nodes, node) }

// Class is the class of the pod, worked out once.
func (p *Packer) Class(pod *corev1.Pod) Class {
	c, ok := p.classes[pod.UID]
	if !ok {
		c = ClassOf(pod)
		p.classes[pod.UID] = c
	}
	return c
}

// Place puts the pod on the first node that it fits on and returns that node,
// nil when there is none.
func (p *Packer) Place(pod *corev1.Pod) *cluster.NodeState {
	class := p.Class(pod)
	first := 0
	if class.Monotone {
		first = p.next[class.Key]
	}
	if first >= len(p.nodes) {
		return nil
	}
	probe := p.checker.Probe(pod)
	at := slices.IndexFunc(p.nodes[first:], probe.allows)
	if at < 0 {
		p.remember(class, len(p.nodes))
		return nil
	}
	node := p.nodes[first+at]
	p.remember(class, first+at)
	if p.checker.snapshot.AddPod(pod, node.Name()) != nil {
		return nil
	}
	return node
}

// PlaceAll places the pods in their order and returns those that found no node.
// Pods that depend on others are tried again as long as that leads on.
func (p *Packer) PlaceAll(pods []*corev1.Pod) []*corev1.Pod {
	return p.PlaceEach(pods, p.Place)
}

// PlaceEach is PlaceAll with a place function of the caller's, which returns nil
// for a pod that it finds no node for.
func (p *Packer) PlaceEach(pods []*corev1.Pod, place func(*corev1.Pod) *cluster.NodeState) []*corev1.Pod {
	for {
		var rest []*corev1.Pod
		retry := false
		for _, pod := range pods {
			if place(pod) == nil {
				rest = append(rest, pod)
				retry = retry || !p.Class(pod).Monotone
			}
		}
		if !retry || len(rest) == len(pods) {
			return rest
		}
		pods = rest
	}
}

func (p *Packer) remember(class Class, next int) {
	if class.Monotone {
		p.next[class.Key] = next
	}
}
