package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Plan is what a planner wants the cluster to become. Nodes are removed first,
// with all their pods, then the new ones are there, then the pods come to their
// nodes in the order of Placements.
type Plan struct {
	NewNodes []cluster.NewNode
	Removed  []string
	// Gone are nodes that are being removed already and that the plan counts as gone.
	// Other leaving nodes are there, marked and empty.
	Gone       []string
	Placements []cluster.Placement
}

// Options bound the work of a Check.
type Options struct {
	// MaxPlacements is how many placements are given to the scheduler's plugins,
	// from the first on; 0 for all. What concerns the plan as a whole is always
	// checked in full.
	MaxPlacements int
}

// Problem is one thing that is wrong with a plan.
type Problem struct {
	// Pod and Node are what it is about. Empty when it is about no pod, or no
	// node.
	Pod  types.NamespacedName
	Node string
	// Plugin is the scheduler plugin that refuses the pod. Empty when no plugin
	// was asked.
	Plugin  string
	Message string
}

// String tells the problem in one line.
func (p Problem) String() string {
	out := p.Message
	if p.Plugin != "" {
		out = p.Plugin + ": " + out
	}
	if p.Node != "" {
		out = "node " + p.Node + ": " + out
	}
	if p.Pod.Name != "" {
		out = "pod " + p.Pod.String() + ": " + out
	}
	return out
}

// Check finds what is wrong with the plan for the cluster that in shows. The
// problems come in the order of the plan: its nodes, its groups, its placements,
// the pods that it leaves behind, the pods that the scheduler would not place.
// The error says that the plan could not be checked.
func Check(in cluster.Input, p Plan, profile *fit.Profile, o Options) ([]Problem, error) {
	s, err := cluster.New(in)
	if err != nil {
		return nil, fmt.Errorf("validate plan: %w", err)
	}
	c := &check{
		snapshot: s, present: map[string]*cluster.NodeState{}, removed: map[string]bool{},
		displaced: map[types.UID]bool{},
		grown:     map[string]int{}, shrunk: map[string]int{}, named: map[types.UID]bool{},
		world: &world{nodes: map[string]*node{}},
	}
	for _, st := range s.Nodes() {
		c.present[st.Node().Name] = st
	}
	for _, pod := range s.Displaced() {
		c.displaced[pod.UID] = true
	}
	c.remove(p.Removed)
	c.addPresent(p.Gone)
	c.addNew(p.NewNodes)
	c.checkSizes()
	steps := c.steps(in.Pods, p.Placements)
	c.checkLeft(p.Removed)
	if o.MaxPlacements > 0 && len(steps) > o.MaxPlacements {
		steps = steps[:o.MaxPlacements]
	}
	refused, err := replay(in, c.world, profile, steps)
	if err != nil {
		return nil, fmt.Errorf("validate plan: %w", err)
	}
	return append(c.problems, refused...), nil
}

// check is the state of one Check.
type check struct {
	snapshot *cluster.Snapshot
	// present are the nodes before the plan.
	present map[string]*cluster.NodeState
	removed map[string]bool
	// displaced are the pods of leaving nodes that need another one.
	displaced map[types.UID]bool
	// grown and shrunk: group -> how many nodes the plan adds and removes.
	grown, shrunk map[string]int
	// named are the pods that some placement is for, be it valid or not.
	named    map[types.UID]bool
	world    *world
	problems []Problem
}

func (c *check) nodeProblem(name, format string, args ...any) {
	c.problems = append(c.problems, Problem{Node: name, Message: fmt.Sprintf(format, args...)})
}

func (c *check) podProblem(pod *corev1.Pod, node, message string) {
	c.problems = append(c.problems, Problem{Pod: cluster.Key(pod), Node: node, Message: message})
}
