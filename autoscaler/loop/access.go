package loop

import (
	"slices"

	"github.com/joinery/joinery/autoscaler/rival"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/durable"
)

// Access is what a Loop does with the API server, through its executor too.
var Access = slices.Concat(rival.Access, durable.Access, []drive.Access{
	drive.Watch("", "nodes"), drive.Watch("", "pods"), drive.Watch("", "namespaces"),
	drive.Watch("", "persistentvolumeclaims"), drive.Watch("", "persistentvolumes"),
	drive.Watch("", "limitranges"), drive.Watch("node.k8s.io", "runtimeclasses"),
	drive.Watch("apps", "daemonsets"), drive.Watch("apps", "replicasets"), drive.Watch("apps", "statefulsets"),
	drive.Watch("batch", "jobs"), drive.Watch("", "replicationcontrollers"), drive.Watch("policy", "poddisruptionbudgets"),
	drive.Watch("storage.k8s.io", "storageclasses"), drive.Watch("storage.k8s.io", "csinodes"),
	drive.Watch("storage.k8s.io", "volumeattachments"), drive.Watch("storage.k8s.io", "csidrivers"), drive.Watch("storage.k8s.io", "csistoragecapacities"),
	{Resource: "nodes", Verbs: []string{"get", "patch"}},
	{Resource: "pods/eviction", Verbs: []string{"create"}},
	{Resource: "events", Verbs: []string{"create", "patch"}},
})
