// Package scaleup decides which groups to grow. It does no I/O: Plan reads a
// snapshot and the given time and returns what to do and why.
//
// Pending pods are tried, largest first within a priority, on the nodes that are
// there or on their way; a pod that fits there only has to wait. For the rest
// nodes are imagined: for each group the plan packs all pods that its nodes
// could take, takes the group that wastes least (then the one that needs fewest
// new nodes, then the smallest, then the first by name), and goes on with what is
// left, until no group helps any more.
// Then the whole plan is placed again from the start on its final set of nodes,
// since a node added late can forbid what was allowed before it (topology
// spread); what no longer fits is planned for once more.
//
// Every placement is decided by package fit, so a plan is never tighter than the
// scheduler's rules allow.
//
// Topology spread counts, as the scheduler does, only domains that have a node. A
// zone that has none yet is not reckoned with until some pod opens a node there.
//
// Zones: a group of one zone gives nodes in that zone. For a group of several
// the zone of the next node is predicted from the balance that Auto Scaling
// keeps. A pod that demands one zone therefore makes the plan open nodes in the
// predicted order until that zone's turn comes, at most one round over the
// zones. The prediction can fail (no capacity in a zone); then the pod stays
// pending, and the next plan sees the zones as they have become. Groups of one
// zone each avoid that.
package scaleup
