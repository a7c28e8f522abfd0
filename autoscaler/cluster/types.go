package cluster

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// InstanceID is an EC2 instance id, such as i-0123456789abcdef0.
type InstanceID = string

// Instance is one member of an Auto Scaling Group. Its LaunchedAt bounds how long a
// node is waited for, see StartupTimeout: without it, the instance is waited for
// without end.
type Instance = fleet.Member

// Group is an Auto Scaling Group as observed, with what a new node of it looks
// like.
type Group struct {
	Name              string
	Min, Max, Desired int
	// Zones are the availability zones the group may launch into.
	Zones        []string
	InstanceType string
	Instances    []Instance
	// Template is the node that a new instance becomes. Nil when TemplateError
	// is set.
	Template *Template
	// TemplateError says why the group cannot be grown: what a new node would
	// look like is not known.
	TemplateError         error
	LaunchTemplateVersion string
	// BackoffUntil is the time before which the group must not be grown,
	// because of BackoffReason. Zero when the group is not backed off.
	BackoffUntil  time.Time
	BackoffReason string
	// DoubtedSince is since when the group's instances are not expected to become
	// nodes, see Doubted. Zero when they are.
	DoubtedSince time.Time
	// Trial says why the group is tried with one node until that is Ready: it was
	// backed off for this. Empty when it is not on trial.
	Trial string
	// ClosedZones: zone -> why no node can be had there now. They are not in Zones.
	// TrialZones: zone -> why it is tried with one instance until that has come.
	ClosedZones, TrialZones map[string]string
	// Unhealthy says why too much of the group is broken for it to grow.
	Unhealthy string
	// LaunchFailure is the last launch that failed; zero for none.
	LaunchFailure LaunchFailure
	// Suspended are the group's suspended processes, by name.
	Suspended []string
	// ProtectsNew says that the group protects each new instance from scale-in.
	ProtectsNew bool
	// Refresh is the instance refresh that is under way; nil for none.
	Refresh *Refresh
	// LastScaleUp, LastScaleDown and LastScaleDownFailure are when the group was
	// last grown, when a node of it was last removed, and when a removal last
	// failed, for the delays before nodes are taken out again. Zero when not
	// known.
	LastScaleUp, LastScaleDown, LastScaleDownFailure time.Time
	Tags                                             map[string]string

	// InstanceTypes are the types that the group may launch: one, or those of a
	// mixed group. The Template holds the least of each resource over them.
	InstanceTypes []string
	// Hardware: instance type -> what EC2 says that an instance of it has: cpu,
	// memory and nvidia.com/gpu. A node of the group counts for no more, whatever
	// it reports. A type that is missing is not bounded.
	Hardware map[string]Amounts
	// Price is what one instance costs, in US dollars an hour; the mean over the
	// types of a mixed group. 0 when not known.
	Price float64
	// Priority orders groups: a group is grown only for what those of a higher
	// priority cannot take.
	Priority int
	// Headroom is how many nodes' worth of cpu and memory is to stay free in the
	// group, as room for pods to come.
	Headroom int
	// Warm is how many instances wait in the group's warm pool. They join
	// sooner than new ones.
	Warm int
	// ScaleDown overrides the planner's options for this group.
	ScaleDown ScaleDownOverrides
}

// Refresh is an instance refresh under way: Auto Scaling ends a group's instances in turn,
// and launches others (EC2 Auto Scaling User Guide, "Use an instance refresh").
type Refresh struct {
	ID, Status string
	// Began is when it was started. Instances that are younger are its own work.
	Began time.Time
	// Done is the share of the instances that are replaced, in percent.
	Done int
	// Waits says that it waits for instances that are protected from scale-in, and fails
	// after an hour. Skips says that it leaves them as they are. Otherwise it replaces
	// them.
	Waits, Skips bool
	// RollsBack says that it replaces again what it has launched.
	RollsBack bool
}

// Replaces reports whether the refresh may wait for an instance launched at a time to lose
// its protection:
//   - it waits for protected instances, and
//   - the instance is older than the refresh, or the refresh rolls back: then it replaces
//     the younger ones.
func (r *Refresh) Replaces(launched time.Time) bool {
	return r != nil && r.Waits && (r.RollsBack || launched.Before(r.Began))
}

// ScaleDownOverrides are the settings of one group, from its tags
// node-template/autoscaling-options/*. A nil field leaves the planner's option.
type ScaleDownOverrides struct {
	UtilizationThreshold, GPUUtilizationThreshold *float64
	UnneededTime, UnreadyTime                     *time.Duration
	IgnoreDaemonSetsUtilization                   *bool
}

// NewNode is a node that a plan adds.
type NewNode struct {
	// Name is made up by the plan; Placement.Node refers to it.
	Name, Group string
	// Zone is where the node is expected: the Auto Scaling Group decides.
	Zone string
}

// Placement puts one pod on one node of a plan.
type Placement struct {
	Pod  *corev1.Pod
	Node string
}

// LaunchFailure is a launch that came to nothing.
type LaunchFailure struct {
	At    time.Time
	Cause string
	// Instance is the one that was given up; empty when none was launched.
	Instance string
}

// The processes of a group whose suspension the autoscaler minds (EC2 Auto Scaling User
// Guide, "Suspend and resume processes"): without Launch no instance comes, without
// Terminate none is to go, and without ProcessAZRebalance no instance is moved to the
// zone that lacks one.
const (
	ProcessLaunch      = "Launch"
	ProcessTerminate   = "Terminate"
	ProcessAZRebalance = "AZRebalance"
)

// Suspends reports whether the process is suspended.
func (g *Group) Suspends(process string) bool { return slices.Contains(g.Suspended, process) }

// Surplus is how many instances the group has beyond its desired capacity that Auto
// Scaling does not end, since they are protected from scale-in: a person has lowered the
// capacity, perhaps to retire the group. What is unprotected it ends itself. Each of a
// surplus can be ended without its place in the capacity. What an instance refresh has
// beyond the capacity is its own, and none.
func (g *Group) Surplus() int {
	if g.Refresh != nil {
		return 0
	}
	members, bare := 0, 0
	for i := range g.Instances {
		if in := &g.Instances[i]; !in.Leaving() && !in.OutOfService() {
			members++
			if !in.Protected {
				bare++
			}
		}
	}
	return max(0, members-max(0, g.Desired)-bare)
}

// Missing is how many instances the group was asked for and has not launched.
func (g *Group) Missing() int {
	return (&fleet.Group{Desired: g.Desired, Members: g.Instances}).Missing()
}

// replacing is how much earlier than the failure was noted the instance may have been
// launched that AWS replaced the failed one with.
const replacing = 30 * time.Second

// Doubted reports whether the instance is expected to fail as others of its group have:
// the group is backed off because instances did not become nodes, and it was launched
// after they had failed. Such a one is no launching capacity, and nothing is gained by
// replacing it before the group's pause is over. What was launched with the failed ones
// may still come.
func (g *Group) Doubted(i *Instance) bool {
	return !g.DoubtedSince.IsZero() && i.LaunchedAt.After(g.DoubtedSince.Add(-replacing))
}

// BackedOff reports whether the group must not be grown at now. With now zero
// (not known) any back-off is taken as still running.
func (g *Group) BackedOff(now time.Time) bool {
	return !g.BackoffUntil.IsZero() && (now.IsZero() || now.Before(g.BackoffUntil))
}

// StartupTimeout is how long an instance may take from launch to a Ready node
// before it is no longer counted as capacity on its way. It is the value of
// Cluster Autoscaler's --max-node-provision-time.
const StartupTimeout = 15 * time.Minute

// ExpendablePriority is the priority below which a pod neither makes a group
// grow nor keeps a node from going: the cut-off of Cluster Autoscaler
// (--expendable-pods-priority-cutoff).
const ExpendablePriority int32 = -10

// Input is everything a Snapshot is made of, as listed from informers and the
// group cache. Nothing in it is changed. The slices may be in any order.
type Input struct {
	// Now is the moment of the observation. With Now zero no node or instance
	// is too old to be waited for.
	Now    time.Time
	Nodes  []*corev1.Node
	Pods   []*corev1.Pod
	Groups []Group
	// Bindings: node name -> how the Node stands to the instances of EC2. A Node
	// is the instance that its verdict binds it to, whatever its provider id says.
	// A Node without a verdict, or with one that is neither Bound nor Adopted, is
	// excluded: it is no instance and no place for pods.
	Bindings map[string]binding.Verdict
	// Taints are the operator's rules for taints that go.
	Taints kube.TaintRules
	// Joined are instances that have been Nodes, whether or not they still are. One
	// whose Node was deleted is not on its way.
	Joined map[InstanceID]bool
	// Unready are how many broken nodes a few accidents explain; nil is DefaultUnready.
	Unready *UnreadyLimits
	// DaemonSets give the overhead of an imagined node.
	DaemonSets []*appsv1.DaemonSet
	// LimitRanges and RuntimeClasses say how the API server admits their pods.
	LimitRanges    []*corev1.LimitRange
	RuntimeClasses []*nodev1.RuntimeClass
	// PodDisruptionBudgets limit what a scale-down may evict.
	PodDisruptionBudgets []*policyv1.PodDisruptionBudget
	// Namespaces give the labels that namespace selectors of pod affinity match.
	Namespaces []*corev1.Namespace
	// PersistentVolumeClaims, PersistentVolumes and StorageClasses say where
	// the volumes of pods can be attached, CSINodes how many a node takes,
	// VolumeAttachments which it has, those of pods that are gone among them.
	// CSIDrivers say what is to be looked at, CSIStorageCapacities where there is
	// room for volumes that are still to be made.
	PersistentVolumeClaims []*corev1.PersistentVolumeClaim
	PersistentVolumes      []*corev1.PersistentVolume
	StorageClasses         []*storagev1.StorageClass
	CSINodes               []*storagev1.CSINode
	VolumeAttachments      []*storagev1.VolumeAttachment
	CSIDrivers             []*storagev1.CSIDriver
	CSIStorageCapacities   []*storagev1.CSIStorageCapacity
	// Distrusted: Class.Key -> names of nodes that are no place for the class, since
	// the scheduler refuses it there for a reason that is not known here.
	Distrusted map[string][]string
}
