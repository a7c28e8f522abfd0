// Package drain empties a Node before its instance ends: it marks the Node, so that
// nothing new comes, and evicts the pods that have to leave. The autoscaler drains the
// nodes that it removes with it, and the lifecycle hooks those whose group ends their
// instance. Which node goes, and when a drain is given up, is for them to say.
//
// What has to leave is kube.NeedsEviction, for every caller alike.
package drain
