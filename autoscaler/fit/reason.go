package fit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
)

// Reason says why a pod does not fit. A nil *Reason means that it does.
type Reason struct {
	// Plugin is the scheduler plugin that refused, empty when no plugin was
	// asked.
	Plugin string
	// Message is what it said.
	Message string
	// Shortages are the resources that do not suffice, when Plugin is
	// NodeResourcesFit.
	Shortages []Shortage
}

// Shortage is a resource that a node has too little of.
type Shortage struct {
	Resource corev1.ResourceName
	// Asked is the pod's request, Capacity the node's allocatable and Used what
	// the pods on it have taken; in milli-units for cpu, else in units.
	Asked, Used, Capacity int64
	// Volumes says that Resource is a CSI driver, whose volumes are counted.
	Volumes bool
}

// String tells the shortage in words, for a new node: "Insufficient cpu (node
// would have 1900m, pod asks 64)".
func (s Shortage) String() string {
	if s.Volumes {
		return fmt.Sprintf("too many volumes of %s (node would take %d more of %d, pod asks %d)", s.Resource, s.Capacity-s.Used, s.Capacity, s.Asked)
	}
	if s.Resource == corev1.ResourcePods {
		return fmt.Sprintf("Too many pods (node would take %d, %d of them are daemons)", s.Capacity, s.Used)
	}
	has := quantity(s.Resource, s.Capacity)
	if s.Used > 0 {
		has = fmt.Sprintf("%s free of %s", quantity(s.Resource, s.Capacity-s.Used), has)
	}
	return fmt.Sprintf("Insufficient %s (node would have %s, pod asks %s)", s.Resource, has, quantity(s.Resource, s.Asked))
}

// quantity writes an amount as Kubernetes does: 1900m, 3891Mi.
func quantity(name corev1.ResourceName, v int64) string {
	switch name {
	case corev1.ResourceCPU:
		return resource.NewMilliQuantity(v, resource.DecimalSI).String()
	case corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return resource.NewQuantity(roundBytes(v), resource.BinarySI).String()
	default:
		return resource.NewQuantity(v, resource.DecimalSI).String()
	}
}

// roundBytes cuts an amount of bytes to whole Mi, so that people see 3800Mi
// rather than 3984588800; amounts under 1 Mi stay.
func roundBytes(v int64) int64 {
	const mi = 1 << 20
	if v < mi && v > -mi {
		return v
	}
	return v / mi * mi
}

// String tells the reason in words.
func (r *Reason) String() string {
	if r == nil {
		return ""
	}
	if len(r.Shortages) == 0 {
		return r.Message
	}
	parts := make([]string, len(r.Shortages))
	for i, s := range r.Shortages {
		parts[i] = s.String()
	}
	return strings.Join(parts, ", ")
}

// reasonOf puts a plugin's answer into a Reason. What the status does not carry is
// asked again: the amounts of a resource shortage, the taint, the label.
func reasonOf(status *fwk.Status, pod *corev1.Pod, node fwk.NodeInfo) *Reason {
	r := &Reason{Plugin: status.Plugin(), Message: status.Message()}
	if node == nil {
		return r
	}
	switch r.Plugin {
	case names.NodeResourcesFit:
		opts := noderesources.ResourceRequestsOptions{EnablePodLevelResources: true}
		for _, in := range noderesources.Fits(pod, node, nil, opts) {
			r.Shortages = append(r.Shortages, Shortage{
				Resource: in.ResourceName, Asked: in.Requested, Used: in.Used, Capacity: in.Capacity,
			})
		}
	case names.TaintToleration:
		if t, found := untolerated(pod, node.Node()); found {
			r.Message = "the pod does not tolerate the taint " + t.ToString()
		}
	case names.NodeAffinity:
		if label := mismatch(pod, node.Node()); label != "" {
			r.Message = "the node would not have the label " + label
		}
	}
	return r
}

func untolerated(pod *corev1.Pod, node *corev1.Node) (corev1.Taint, bool) {
	return corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, pod.Spec.Tolerations,
		func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }, true)
}

// mismatch is the first label, by name, that the pod's node selector asks for and
// the node does not have. Empty when the selector is met and it is the pod's
// affinity that is not.
func mismatch(pod *corev1.Pod, node *corev1.Node) string {
	for _, k := range slices.Sorted(maps.Keys(pod.Spec.NodeSelector)) {
		if v, ok := node.Labels[k]; !ok || v != pod.Spec.NodeSelector[k] {
			return k + "=" + pod.Spec.NodeSelector[k]
		}
	}
	return ""
}
