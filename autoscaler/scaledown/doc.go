// Package scaledown decides which nodes go. It does no I/O: Plan reads a
// snapshot and the given time and returns what to remove and why the rest stays.
//
// A node of a group is unneeded when nothing forbids its going and every pod on
// it can be proven to find another place: moves are simulated one after the
// other on the nodes that remain, with the scheduler's filters (package fit), so
// all unneeded nodes may go together. Pods that wait for a place come first: a
// node that one of them would use is needed.
//
// The choice is then checked as a whole the way scale-up would see the cluster
// after it, and cut back until no group would have to grow again.
//
// How long a node must have been unneeded depends on what its agent says in the
// condition joinery.dev/ScaleDownReady. An empty node whose agent has said True
// goes after Options.IdleDelay. False holds the node, except for the reason
// PodsRunning, which says no more than the API server knows; what local software
// asked for holds it for as long as it stands, also in an old report. Without a
// fresh report the node goes after Options.UnneededTime, the rule of Cluster
// Autoscaler. Since when a node has been unneeded is kept on the node, in the
// label v1alpha1.UnneededSinceLabel, so a restart forgets nothing.
//
// A node that is not Ready stays: nothing it says about its pods can be relied on,
// and they cannot be drained. Only one that has been so for Options.UnreadyTime and
// holds no pod but those of daemons goes.
//
// Groups have their own settings and cool-downs, and a group that keeps headroom
// keeps it. Copies of one pod of kube-system that no disruption budget covers
// leave one at a time.
//
// Which pods may be moved and which nodes may go follows Cluster Autoscaler's
// rules and annotations, see package rules.
package scaledown
