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

	"github.com/joinery/joinery/internal/kube"
)

// daemon is a DaemonSet with the pod that it would put on a node.
type daemon struct {
	set      *appsv1.DaemonSet
	pod      corev1.Pod
	class    *Class
	affinity nodeaffinity.RequiredNodeAffinity
}

// daemonMemo is what one node was still to get, and of what that was found out.
type daemonMemo struct {
	memoKey
	missing []Pod
}

type memoKey struct {
	node          *corev1.Node
	residents     *residents
	version       int // of the residents
	gen, localGen int // of the daemons
	young         bool
}

// newDaemon makes the pod of a DaemonSet as its controller does, with the tolerations
// that every daemon gets, and as the API server admits it.
func newDaemon(ds *appsv1.DaemonSet, cs *classes, a *admission) daemon {
	template := ds.Spec.Template.DeepCopy()
	daemonutil.AddOrUpdateDaemonPodTolerations(&template.Spec)
	d := daemon{set: ds, pod: corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}}
	d.pod.Namespace = ds.Namespace
	d.pod.OwnerReferences = []metav1.OwnerReference{kube.DaemonSetOwner(appsv1.SchemeGroupVersion.String(), ds.Name, ds.UID)}
	d.pod.GenerateName = ds.Name + "-"
	a.admit(&d.pod)
	d.class = cs.of(&d.pod)
	d.affinity = nodeaffinity.GetRequiredNodeAffinity(&d.pod)
	return d
}

// runsOn reports whether the DaemonSet controller would make a pod for the node:
// node name, node selector and required affinity, and taints with effect
// NoSchedule or NoExecute decide it; free room does not.
func (d *daemon) runsOn(node *corev1.Node) bool {
	if d.pod.Spec.NodeName != "" && d.pod.Spec.NodeName != node.Name {
		return false
	}
	if ok, err := d.affinity.Match(node); err != nil || !ok {
		return false
	}
	if len(node.Spec.Taints) == 0 {
		return true
	}
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(klog.Logger{}, node.Spec.Taints, d.pod.Spec.Tolerations,
		func(t *corev1.Taint) bool {
			return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
		}, true)
	return !untolerated
}

// podFor is the daemon's pod on the node.
func (d *daemon) podFor(node string) Pod {
	pod := d.pod
	pod.Name = pod.GenerateName + node
	pod.UID = types.UID(string(d.set.UID) + "/" + pod.Namespace + "/" + pod.Name)
	pod.Spec.NodeName = node
	return Pod{Pod: &pod, Class: d.class, is: bound}
}

// missingDaemons gives the daemon pods that are to run on the node and are not
// there yet: all of them on an imagined node, the late ones on a joined one.
func missingDaemons(daemons []daemon, node *corev1.Node, residents []Pod) []Pod {
	var present []types.UID
	for i := range residents {
		if uid := kube.DaemonSetOf(residents[i].Pod); uid != "" {
			present = append(present, uid)
		}
	}
	var pods []Pod
next:
	for i := range daemons {
		d := &daemons[i]
		for _, uid := range present {
			if uid == d.set.UID {
				continue next
			}
		}
		if d.runsOn(node) {
			pods = append(pods, d.podFor(node.Name))
		}
	}
	return pods
}
