// Package scaleup decides which groups to grow. It does no I/O: Plan reads a
// snapshot and the given time and returns what to do and why.
//
// Pending pods are taken by priority. Within a priority those that terms about
// other pods bind come first, the tightest of them first, then all others into
// what is left. What fits on nodes that are there or on their way only has to
// wait. For the rest nodes are opened:
//
//   - for bound pods in the domain with the fewest pods that they spread from, of
//     the group that is worth most there. Zones that a group could open count for
//     a spread constraint from the start, so that several groups of one zone each
//     grow in one decision. Pods that must be near each other are tried in each
//     zone;
//   - for plain pods of the group whose new node answers most of the demand for
//     its price, filled as the packer fills it, as many at once as the waiting
//     pods fill in the same way. A price that is not known is estimated from those
//     that are, for its group alone. Where none is known, the share of the demand
//     that the node could answer stands in for it: then least waste wins.
//
// A group of a higher priority comes first whatever it costs; of groups that are
// worth the same, one with warm instances, then the larger node, then the smaller
// group, so that similar groups stay in balance.
//
// Then everything is placed again from the start with the new nodes there from
// the beginning, as the scheduler will see them and as the next plan will; what no
// longer fits is planned for once more. So the next plan asks for nothing more.
//
// Zones: a group of one zone gives nodes in that zone. For a group of several the
// zone of the next node is predicted from the balance that Auto Scaling keeps. A
// pod that demands one zone therefore makes the plan open nodes in the predicted
// order until that zone's turn comes, at most one round over the zones. The
// prediction can fail (no capacity in a zone); then the pod stays pending, and the
// next plan sees the zones as they have become. Groups of one zone each avoid
// that.
package scaleup
