// Package hooks completes the lifecycle hooks by which managed Auto Scaling
// groups hold instances: at a launch until the instance is a Ready Node, on the
// way into a warm pool until it has warmed up, at a termination until its Node
// is drained. Plan decides and does no I/O; Loop looks, and carries out. State is
// in Auto Scaling and on the Nodes: any master can go on where another died.
//
// What is kept in memory alone is when this process first saw an instance wait.
// A new leader therefore gives an instance that leaves a running warm pool, whose
// launch is long past, its whole time to join anew. A drain's beginning is on the
// Node.
package hooks

import (
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// Phase is what an instance is held for.
type Phase string

// The phases, by the lifecycle states of a group's instances (Amazon EC2 Auto
// Scaling User Guide, "lifecycle of instances" and "warm pools"). An instance
// that goes through a warm pool meets the launch hook twice: Warming, Joining.
const (
	// Joining instances are on their way into service.
	Joining Phase = "joining"
	// Warming instances are on their way into a warm pool.
	Warming Phase = "warming"
	// Draining instances are on their way out, or back into a warm pool.
	Draining Phase = "draining"
)

// phases are what an instance in a state may be held for. At the door of a warm
// pool a new instance is held by the launch hook and one that comes back by the
// terminating hook; their state is the same.
var phases = map[fleet.Lifecycle][]Phase{
	"Pending:Wait":            {Joining},
	"Warmed:Pending:Wait":     {Warming, Draining},
	"Terminating:Wait":        {Draining},
	"Warmed:Terminating:Wait": {Draining},
}

// Hook is a lifecycle hook as its group has it.
type Hook struct {
	// Name within the group.
	Name string
	// Heartbeat is how long the hook waits before it takes its default result.
	Heartbeat time.Duration
	// Global is how far heartbeats can extend that.
	Global time.Duration
}

// Held is an instance that one of our hooks holds.
type Held struct {
	// Group and Hook that hold it.
	Group string
	Hook  Hook
	// State is the instance's lifecycle state, Phase what it stands for.
	State fleet.Lifecycle
	Phase Phase
	// Doubtful says that the state may be due to the other hook. The answer to a
	// hook that holds nothing changes nothing, and tells.
	Doubtful bool
	// InstanceID of the instance.
	InstanceID string
	// Instance is what EC2 says of it; nil when EC2 does not know it.
	Instance *fleet.Instance
	// Nodes are those that claim the instance. Only one that is Bound is it.
	Nodes []Node
	// Blind is why EC2 or the API server did not answer; nil when they did.
	Blind error
	// RunningPool says that the group has a warm pool whose instances are not
	// started when they leave it, so that their launch says nothing.
	RunningPool bool
	// First is when this process first saw the instance wait here.
	First time.Time
	// Beat is when this process last sent a heartbeat; zero for never.
	Beat time.Time
}

// Policy is what holds for every instance.
type Policy struct {
	// Cluster whose groups are managed.
	Cluster string
	// Region and Mode give the name of an instance's Node.
	Region string
	Mode   v1alpha1.NodeNameMode
	// Lifecycle are the operator's settings.
	Lifecycle v1alpha1.LifecycleSettings
}

// nodeName is what the instance's Node is called; empty while EC2 does not say
// enough.
func (h Held) nodeName(p Policy) string {
	if h.Instance == nil {
		return ""
	}
	name, err := h.Instance.NodeName(p.Region, p.Mode)
	if err != nil {
		return ""
	}
	return name
}

// bound returns the Node that is the instance; nil for none. A Node that merely claims
// it is neither waited for nor drained.
func (h Held) bound() *Node {
	for i := range h.Nodes {
		if h.Nodes[i].Bound {
			return &h.Nodes[i]
		}
	}
	return nil
}

// since is when the instance's time to join began.
func (h Held) since() time.Time {
	if h.Instance == nil || h.Instance.LaunchTime.IsZero() || h.RunningPool {
		return h.First
	}
	return h.Instance.LaunchTime
}
