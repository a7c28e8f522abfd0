// Package cluster is the planners' picture of the world: nodes, pods and Auto
// Scaling Groups at one moment, with the capacity that is already on its way.
//
// A Snapshot is made by New from listed objects, without any I/O. It can be
// forked and reverted cheaply, so that planners try things out on it, and it
// answers kube-scheduler's filter plugins as their shared lister (see package
// fit). Every list it gives is sorted, so the same input gives the same plan.
package cluster
