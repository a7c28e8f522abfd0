// Package loop runs the autoscaler: observe, plan, act, explain, again and
// again until its context ends.
//
// A round begins soon after something happened that may change a plan: a pod
// turned unschedulable (after a short window in which more of them may come), a
// node came, went or changed its state, an agent changed what it reports, a
// waiting node's time has come. A timer starts one now and then anyway. Within
// a round growing comes first; drains go on in the background and never hold
// the loop up. No error ends the loop: it is logged, counted and kept with the
// round's decision.
//
// While a Cluster Autoscaler holds its Lease the loop only says so: two
// autoscalers on the same groups undo each other's work.
package loop
