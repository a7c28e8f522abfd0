// Package rules says which pods may be moved and which nodes may go, one file a
// rule. It does no I/O and keeps no state: a Context holds the time and what has
// to be looked up elsewhere.
//
// The rules and their annotations mean what they mean to Cluster Autoscaler (its
// drainability rules and its checks of candidates), so that a cluster that is
// moved to Joinery keeps them. Where one differs, its comment says why;
// docs/scale-down.md has the whole table.
//
// Room in disruption budgets is not judged here: several nodes that go together
// share it, so the planner counts it.
//
// The annotation k8s.io/cluster-autoscaler-enabled has no rule, since it keeps no
// node in Cluster Autoscaler either: there it ends the warnings about a Node
// whose group is not managed, and such a Node stays by NotAutoscaled.
package rules
