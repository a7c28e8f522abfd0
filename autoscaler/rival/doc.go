// Package rival finds other programs that scale the same Auto Scaling groups or buy
// nodes for the same pods: two autoscalers undo each other's work.
//
// A Cluster Autoscaler is recognised by any of four traces, in every namespace,
// because it runs where its users put it and elects its leader by what they chose:
//
//   - a Lease of its default name that is renewed in time;
//   - an Endpoints object or ConfigMap of that name with a lock in the annotation
//     control-plane.alpha.kubernetes.io/leader, as client-go wrote it until 1.24;
//   - its status ConfigMap, which each of its rounds rewrites;
//   - a pod that runs it, whatever its lock is called and whether it elects at all.
//
// Find decides and does no I/O; Watcher asks the API server.
package rival
