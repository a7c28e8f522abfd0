// Package fit answers whether a pod fits on a node of a cluster.Snapshot, by
// running kube-scheduler's own filter plugins with the arguments of its default
// profile. So taints, selectors, affinity, topology spread, host ports and
// resources mean what they mean to the scheduler that will place the pod.
//
// Some things that a pod can ask for depend on objects that a snapshot does not
// hold: persistent volumes, dynamic resource claims, gangs. Such a pod is never
// said to fit; Checker.Unsupported names the cause. The plugin for declared node
// features is left out: a new node runs the kubelet of the group's image, and
// what that one would declare is not known before it has joined.
package fit
