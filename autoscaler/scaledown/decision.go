package scaledown

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// Options steer a plan. The zero value is ready to use: a zero duration, count
// or share stands for the default; a negative duration for none at all.
type Options struct {
	// IdleDelay is how long an agent must have reported its empty node ready to
	// go. Default 30 s.
	IdleDelay time.Duration
	// UnneededTime is how long any other node must have been unneeded. Default
	// 10 min (Cluster Autoscaler's --scale-down-unneeded-time).
	UnneededTime time.Duration
	// DelayAfterAdd is how long after its growth a group keeps its nodes, except
	// idle ones. Default 10 min (--scale-down-delay-after-add, there for the
	// whole cluster).
	DelayAfterAdd time.Duration
	// ReportTimeout is the age at which an agent's report counts as no report.
	// Default 5 min.
	ReportTimeout time.Duration
	// MaxHold is how long a node may hold itself, by an annotation or by its agent's
	// word, before that no longer counts. Default DefaultMaxHold.
	MaxHold time.Duration
	// DelayAfterDelete and DelayAfterFailure are the same after a node of the group
	// was removed and after a removal failed. Default none and 3 min
	// (--scale-down-delay-after-delete, -after-failure).
	DelayAfterDelete, DelayAfterFailure time.Duration
	// UnreadyTime is how long a node without pods must have been not Ready before
	// it goes. Default 20 min (--scale-down-unready-time); negative for never.
	UnreadyTime time.Duration
	// MaxParallel bounds the nodes that are being removed at a time, those of
	// earlier plans counted. Default 10.
	MaxParallel int
	// MaxDrains is the same for nodes with pods that have to leave. Default 1
	// (--max-drain-parallelism).
	MaxDrains int
	// MaxGrace is the longest grace period of a pod that a drain waits for. Default
	// DefaultMaxGrace (--max-graceful-termination-sec, which cuts longer ones).
	MaxGrace time.Duration
	// DrainTimeout is how long the evictions of a drain may take. Default 5 min.
	DrainTimeout time.Duration
	// UtilizationThreshold is the share of cpu or memory requests, whichever is
	// higher, from which on a node is left alone. Default 0.5.
	UtilizationThreshold float64
	// GPUUtilizationThreshold is that of a node with GPUs, for which only these
	// count. Default 0.5.
	GPUUtilizationThreshold float64
	// IgnoreDaemonSetsUtilization leaves daemons out of the utilization
	// (--ignore-daemonsets-utilization).
	IgnoreDaemonSetsUtilization bool
	// MoveLocalStorage lets pods go that lose an emptyDir or use a hostPath
	// (--skip-nodes-with-local-storage=false).
	MoveLocalStorage bool
	// MoveSystemPods lets pods of kube-system go that no disruption budget covers
	// and that are younger than 1 h (--skip-nodes-with-system-pods=false).
	MoveSystemPods bool
	// MoveCustomControllerPods lets pods go whose controller is of a kind that is
	// not built in (--skip-nodes-with-custom-controller-pods=false).
	MoveCustomControllerPods bool
	// MinReplicaCount keeps pods whose controller is to have fewer replicas
	// (--min-replica-count), as Owner reports. 0 or a nil Owner is off.
	MinReplicaCount int
	// Owner looks up the controllers of pods, see rules.Context.Owner. Nil has none of
	// them missing.
	Owner func(types.UID) (replicas int32, found bool)
	// Stays returns why pods of a class are not moved by choice, empty when they may be.
	// Nil has none of them stay.
	Stays func(*cluster.Class) string
	// Profile is the cluster's scheduler profile. Nil is the default one.
	Profile *fit.Profile
}

// DefaultMaxHold is how long a node may hold itself unless the options say otherwise:
// longer than jobs that are meant to end, and a bound on what a lie costs.
const DefaultMaxHold = 7 * 24 * time.Hour

// DefaultMaxGrace is the longest grace period that is waited for unless the options say
// otherwise.
const DefaultMaxGrace = 10 * time.Minute

// never is UnreadyTime once a negative one was read.
const never = time.Duration(-1)

func (o Options) withDefaults() Options {
	o.IdleDelay = orDefault(o.IdleDelay, 30*time.Second)
	o.UnneededTime = orDefault(o.UnneededTime, 10*time.Minute)
	o.DelayAfterAdd = orDefault(o.DelayAfterAdd, 10*time.Minute)
	o.ReportTimeout = orDefault(o.ReportTimeout, rules.DefaultReportTimeout)
	o.MaxHold = maxHoldOf(o.MaxHold)
	if o.MaxParallel == 0 {
		o.MaxParallel = 10
	}
	if o.MaxDrains == 0 {
		o.MaxDrains = 1
	}
	o.MaxGrace = orDefault(o.MaxGrace, DefaultMaxGrace)
	o.DrainTimeout = orDefault(o.DrainTimeout, 5*time.Minute)
	o.DelayAfterDelete = orDefault(o.DelayAfterDelete, 0)
	o.DelayAfterFailure = orDefault(o.DelayAfterFailure, 3*time.Minute)
	if o.UnreadyTime < 0 {
		o.UnreadyTime = never
	} else {
		o.UnreadyTime = orDefault(o.UnreadyTime, 20*time.Minute)
	}
	if o.UtilizationThreshold == 0 {
		o.UtilizationThreshold = 0.5
	}
	if o.GPUUtilizationThreshold == 0 {
		o.GPUUtilizationThreshold = 0.5
	}
	return o
}

func orDefault(d, byDefault time.Duration) time.Duration {
	switch {
	case d == 0:
		return byDefault
	case d < 0:
		return 0
	default:
		return d
	}
}

// Decision is what to do. The same snapshot, options and time give the same
// decision, byte for byte.
type Decision struct {
	// Remove are the nodes to take out now, in the order of choice.
	Remove []Removal `json:"remove,omitempty"`
	// Replace are the nodes that are lost while their group is at its minimum: their
	// instances end, and AWS launches others.
	Replace []Removal `json:"replace,omitempty"`
	// Unneeded: node -> since when it has been unneeded: what its
	// v1alpha1.UnneededSinceLabel is to say. The nodes of Remove are among them, and
	// so are those of Needed that nothing keeps but pods which their agents alone
	// see: a node that says so now and then gains no time by it.
	Unneeded map[string]time.Time `json:"unneeded,omitempty"`
	// Waiting are the unneeded nodes that do not go yet, by name, and what for.
	Waiting []NodeReason `json:"waiting,omitempty"`
	// Needed are the nodes that stay, by name: the label of those that are not in
	// Unneeded is to be cleared.
	Needed []NodeReason `json:"needed,omitempty"`
	// Holds are the nodes of managed groups that hold themselves, by name, whether
	// or not that counts.
	Holds []Hold `json:"holds,omitempty"`
	// Lost are the nodes of managed groups that are lost, by name.
	Lost []Lost `json:"lost,omitempty"`
	// Brake is Snapshot.Brake: why no node is removed now. Empty when they may be.
	Brake string `json:"brake,omitempty"`
	// Moves are where the plan sees the pods of the removed nodes, and those
	// that wait for a place already, in an order in which the scheduler could
	// place them once the nodes are gone.
	Moves []cluster.Placement `json:"-"`
	// Err is set when nothing could be planned at all.
	Err error `json:"-"`
}

// Nodes are the names of the nodes to take out.
func (d *Decision) Nodes() []string {
	names := make([]string, len(d.Remove))
	for i := range d.Remove {
		names[i] = d.Remove[i].Node
	}
	return names
}

// Removal is one node to take out.
type Removal struct {
	Node string `json:"node"`
	// UID of the Node that the plan is about. Another Node of that name is not it.
	UID        types.UID `json:"uid,omitempty"`
	Group      string    `json:"group"`
	InstanceID string    `json:"instanceID"`
	// Empty says that no pod has to move.
	Empty bool `json:"empty"`
	// Lost says that the kubelet is silent: nothing can be drained.
	Lost bool `json:"lost,omitempty"`
	// Pods are the pods to evict, by namespace and name.
	Pods   []types.NamespacedName `json:"pods,omitempty"`
	Reason string                 `json:"reason"`
}

// NodeReason says why a node stays.
type NodeReason struct {
	Node  string `json:"node"`
	Group string `json:"group,omitempty"`
	// Cause is one word for metrics and for programs.
	Cause Cause `json:"cause"`
	// Message is one sentence for people.
	Message string `json:"message"`
	// Until is when a wait ends that only time ends; zero for any other reason.
	Until time.Time `json:"until,omitzero"`
}

// Cause says in one word why a node stays.
type Cause = rules.Cause

// The causes.
const (
	NotAutoscaled      = rules.NotAutoscaled
	NotBound           = rules.NotBound
	ControlPlane       = rules.ControlPlane
	Disabled           = rules.Disabled
	BeingDeleted       = rules.BeingDeleted
	NotReady           = rules.NotReady
	OutOfService       = rules.OutOfService
	Held               = rules.Held
	NotUnderutilized   = rules.NotUnderutilized
	BlockedByPod       = rules.BlockedByPod
	NoPlaceToMovePods  = rules.NoPlaceToMovePods
	NeededByPods       = rules.NeededByPods
	MovedInVain        = rules.MovedInVain
	InstanceRefresh    = rules.InstanceRefresh
	MinSizeReached     = rules.MinSizeReached
	NotUnneededLong    = rules.NotUnneededLong
	RecentlyAdded      = rules.RecentlyAdded
	Headroom           = rules.Headroom
	MaxParallelReached = rules.MaxParallelReached
	TooManyUnready     = rules.TooManyUnready
)
