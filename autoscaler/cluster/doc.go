// Package cluster is the planners' picture of the world: nodes, pods and Auto
// Scaling Groups at one moment, with the capacity that is already on its way.
//
// A Cache follows the events of informers and keeps for each node its pods, their
// classes and their sums. A Snapshot of it is taken for each round at a cost that
// does not depend on the number of running pods. New makes one of listed objects.
// None of this does any I/O, and every list that a Snapshot gives is sorted, so
// the same input gives the same plan.
package cluster
