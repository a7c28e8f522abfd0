package fit

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Checker asks the scheduler's filters about pods and nodes of one snapshot, as
// the snapshot is at the moment of each question. It is not safe for concurrent
// use. Close it after use.
type Checker struct {
	snapshot *cluster.Snapshot
	fw       framework.Framework
	life     lifetime
}

// New makes a Checker over the snapshot. It fails only when the scheduler's
// plugins refuse to be built.
func New(s *cluster.Snapshot) (*Checker, error) {
	life := lifetime{done: make(chan struct{})}
	fw, err := newFramework(life, s)
	if err != nil {
		close(life.done)
		return nil, err
	}
	return &Checker{snapshot: s, fw: fw, life: life}, nil
}

// Close ends the Checker's background work and waits for its end.
func (c *Checker) Close() {
	close(c.life.done)
	runtime.WaitForShutdown(c.fw)
}

// Probe is one pod prepared for being tried on nodes. It holds good only until
// the snapshot changes.
type Probe struct {
	checker *Checker
	pod     *corev1.Pod
	state   *framework.CycleState
	// nodes are the only ones that a plugin allows, nil for all.
	nodes sets.Set[string]
	// refused is set when the pod fits nowhere.
	refused *Reason
}

// Probe prepares the pod: what depends on the pod and on the cluster as a whole
// is worked out once.
func (c *Checker) Probe(pod *corev1.Pod) *Probe {
	p := &Probe{checker: c, pod: pod, refused: Unsupported(pod)}
	if p.refused != nil {
		return p
	}
	p.state = framework.NewCycleState()
	result, status, _ := c.fw.RunPreFilterPlugins(c.life, p.state, pod)
	if !status.IsSuccess() {
		p.refused = reasonOf(status, pod, nil)
	} else if !result.AllNodes() {
		p.nodes = result.NodeNames
	}
	return p
}

// On tells why the pod does not fit on the node, nil when it fits.
func (p *Probe) On(node *cluster.NodeState) *Reason {
	switch {
	case p.refused != nil:
		return p.refused
	case node.Unusable != "":
		return &Reason{Message: node.Unusable}
	case p.nodes != nil && !p.nodes.Has(node.Name()):
		return &Reason{Message: "node(s) didn't match Pod's node affinity/selector"}
	}
	status := p.checker.fw.RunFilterPlugins(p.checker.life, p.state, p.pod, node.Info)
	if status.IsSuccess() {
		return nil
	}
	return reasonOf(status, p.pod, node.Info)
}

// allows reports whether the pod fits on the node, without working out why not.
func (p *Probe) allows(node *cluster.NodeState) bool {
	if p.refused != nil || node.Unusable != "" || (p.nodes != nil && !p.nodes.Has(node.Name())) {
		return false
	}
	return p.checker.fw.RunFilterPlugins(p.checker.life, p.state, p.pod, node.Info).IsSuccess()
}

// Fits tells why the pod does not fit on the named node, nil when it fits.
func (c *Checker) Fits(pod *corev1.Pod, node string) *Reason {
	st := c.snapshot.Node(node)
	if st == nil {
		return &Reason{Message: fmt.Sprintf("no node %q in the snapshot", node)}
	}
	return c.Probe(pod).On(st)
}
