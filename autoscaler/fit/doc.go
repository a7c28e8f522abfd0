// Package fit answers whether pods fit on nodes, as the cluster's kube-scheduler
// would, and places them.
//
// A Ledger holds what a plan has done so far over a cluster.Snapshot. It asks the
// scheduler's own plugins what depends on one pod and one node alone (name,
// taints, labels, affinity to nodes), once for each class of pods and each kind of
// node, and answers the rest from counts that it keeps as pods are placed: sums of
// resources, host ports, volumes to attach, and for every term about other pods
// how many there are in each topology domain. So the question whether a pod fits
// costs some tens of nanoseconds and not a pass over all nodes, and its answer is
// the same: the tests compare it with the plugins, and package validate replays
// whole plans through them.
//
// Pods are placed in batches of one class. Candidates finds nodes for those that
// terms about other pods bind; Filler packs all others by vectors.
//
// A Profile is what the cluster's scheduler is configured to filter by. What
// depends on objects that a snapshot does not hold is never said to fit: dynamic
// resource claims, gangs, disks that a pod names itself (cluster.Class.Unsupported
// names the cause). The plugin for declared node features is left out: a new node
// runs the kubelet of the group's image, and what that one would declare is not
// known before it has joined.
package fit
