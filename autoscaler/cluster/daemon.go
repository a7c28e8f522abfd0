package cluster

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	daemonutil "k8s.io/kubernetes/pkg/controller/daemon/util"
)

// daemon is a DaemonSet with the pod that it would put on a node.
type daemon struct {
	uid types.UID
	pod corev1.Pod
}

// newDaemon makes the pod of a DaemonSet as its controller does: with the
// tolerations that every daemon gets.
func newDaemon(ds *appsv1.DaemonSet) daemon {
	template := ds.Spec.Template.DeepCopy()
	daemonutil.AddOrUpdateDaemonPodTolerations(&template.Spec)
	pod := corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace = ds.Namespace
	controller := true
	pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "DaemonSet",
		Name: ds.Name, UID: ds.UID, Controller: &controller,
	}}
	pod.GenerateName = ds.Name + "-"
	return daemon{uid: ds.UID, pod: pod}
}

// runsOn reports whether the DaemonSet controller would make a pod for the node:
// node name, node selector and required affinity, and taints with effect
// NoSchedule or NoExecute decide it; free room does not.
func (d *daemon) runsOn(node *corev1.Node) bool {
	if d.pod.Spec.NodeName != "" && d.pod.Spec.NodeName != node.Name {
		return false
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(&d.pod).Match(node); err != nil || !ok {
		return false
	}
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, d.pod.Spec.Tolerations,
		func(t *corev1.Taint) bool {
			return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
		}, true)
	return !untolerated
}

// podFor is the daemon's pod on the node.
func (d *daemon) podFor(node string) *corev1.Pod {
	pod := d.pod
	pod.Name = pod.GenerateName + node
	pod.UID = types.UID(string(d.uid) + "/" + pod.Namespace + "/" + pod.Name)
	pod.Spec.NodeName = node
	return &pod
}

// OwnedByDaemonSet reports whether a DaemonSet controls the pod.
func OwnedByDaemonSet(pod *corev1.Pod) bool {
	ref := metav1.GetControllerOf(pod)
	return ref != nil && ref.Kind == "DaemonSet"
}

// missingDaemons gives the daemon pods that are to run on the node and are not
// there yet: all of them on an imagined node, the late ones on a joined one.
func missingDaemons(daemons []daemon, st *NodeState) []*corev1.Pod {
	present := map[types.UID]bool{}
	for _, pi := range st.Info.GetPods() {
		if ref := metav1.GetControllerOf(pi.GetPod()); ref != nil && ref.Kind == "DaemonSet" {
			present[ref.UID] = true
		}
	}
	var pods []*corev1.Pod
	for i := range daemons {
		if d := &daemons[i]; !present[d.uid] && d.runsOn(st.Node()) {
			pods = append(pods, d.podFor(st.Name()))
		}
	}
	return pods
}
