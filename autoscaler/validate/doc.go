// Package validate checks a plan of the autoscaler without knowing how it was
// made: it builds the cluster as the plan would have it and lets kube-scheduler's
// own plugins, those for volumes too, judge every pod in turn.
//
// It shares no code with the planners beyond the list of nodes and the templates
// of package cluster and the profile of package fit, so that a mistake of theirs
// is not repeated here. It is slow where they are quick: every pod is prepared
// over all nodes again.
//
// Two things are stricter than the world. A claim that is provisioned once its
// first pod is placed keeps its other pods on that node, since where else the
// driver would reach the volume is not known. And a pod with dynamic resource
// claims or of a gang has no valid place, since neither is simulated.
package validate
