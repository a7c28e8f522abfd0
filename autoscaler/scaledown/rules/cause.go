package rules

// Cause says in one word why a node stays. Where Cluster Autoscaler has a word
// for it (the label "reason" of its metric unremovable_nodes_count), it is that
// one.
type Cause string

// The causes that the rules of this package find.
const (
	NotAutoscaled Cause = "NotAutoscaled"
	NotBound      Cause = "NotBound"
	ControlPlane  Cause = "ControlPlane"
	Disabled      Cause = "ScaleDownDisabledAnnotation"
	BeingDeleted  Cause = "CurrentlyBeingDeleted"
	NotReady      Cause = "NotReady"
	OutOfService  Cause = "InstanceNotInService"
	Held          Cause = "HeldByAgent"
)

// The causes that planning finds.
const (
	NotUnderutilized   Cause = "NotUnderutilized"
	BlockedByPod       Cause = "BlockedByPod"
	NoPlaceToMovePods  Cause = "NoPlaceToMovePods"
	NeededByPods       Cause = "NeededByPods"
	MovedInVain        Cause = "MovedInVain"
	InstanceRefresh    Cause = "InstanceRefresh"
	MinSizeReached     Cause = "NodeGroupMinSizeReached"
	NotUnneededLong    Cause = "NotUnneededLongEnough"
	RecentlyAdded      Cause = "GroupRecentlyGrown"
	Headroom           Cause = "KeptAsHeadroom"
	MaxParallelReached Cause = "MaxParallelReached"
	// TooManyUnready: see cluster.Snapshot.Brake.
	TooManyUnready Cause = "TooManyUnready"
)
