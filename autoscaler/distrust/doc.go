// Package distrust remembers where kube-scheduler goes on refusing pods that the
// planner sees a place for. What the planner knows of the scheduler's rules is never
// all of it, and a pod that "fits on node-1" whatever the scheduler says would wait
// for ever: nothing grows for it.
//
// A class of pods is doubted once plans had a place for it on a node that is there, for
// Rounds rounds in a row and at least MinDuration, while the scheduler said Unschedulable.
// Then the nodes that have not changed since the scheduler refused are no place for it:
// the scheduler has looked at each of them as it is now. Nodes that came after the
// doubt began are trusted, so one doubt buys nodes once.
//
// It does no I/O. A Memory is of one goroutine.
package distrust
