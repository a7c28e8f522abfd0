package observe

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	storagevolume "k8s.io/component-helpers/storage/volume"

	"github.com/joinery/joinery/internal/kube"
)

// annotationPrefixes begin the annotations that some service reads. Anyone may write
// others of any size, and they would be kept in memory.
var annotationPrefixes = []string{
	"joinery.dev/",
	kube.AutoscalerAnnotationPrefix,
	kube.DelayDeletionPrefix,
	kube.DoNotDisruptAnnotation,
	corev1.MirrorPodAnnotationKey,
	// What kube-scheduler reads of claims, volumes and CSINodes: whether a claim is
	// bound, the node that its volume is being made for, its class as it once was
	// named, and the in-tree plugins that CSI drivers have replaced.
	storagevolume.AnnBindCompleted,
	storagevolume.AnnSelectedNode,
	corev1.BetaStorageClassAnnotation,
	corev1.MigratedPluginsAnnotationKey,
	appsv1.DeprecatedTemplateGeneration,
}

// mostAnnotation bounds the value of one annotation that is kept: none that is read is
// longer.
const mostAnnotation = 4096

// Slim is a cache.TransformFunc. It drops what no service reads, in place:
//   - of everything: managed fields, and annotations that are none of
//     annotationPrefixes;
//   - of a Node: the images that it holds, its volumes, and what software it runs;
//   - of a Pod: what its containers execute and mount, and what became of each;
//   - of a pod's controller, except DaemonSets: all but its name, UID and replicas.
func Slim(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil {
		m.SetManagedFields(nil)
		m.SetAnnotations(kept(m.GetAnnotations()))
	}
	switch o := obj.(type) {
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesInUse, o.Status.VolumesAttached = nil, nil, nil
		o.Status.NodeInfo, o.Status.Config = corev1.NodeSystemInfo{}, nil
	case *corev1.Pod:
		slimPod(o)
	case *appsv1.ReplicaSet:
		*o = appsv1.ReplicaSet{ObjectMeta: identity(&o.ObjectMeta), Spec: appsv1.ReplicaSetSpec{Replicas: o.Spec.Replicas}}
	case *appsv1.StatefulSet:
		*o = appsv1.StatefulSet{ObjectMeta: identity(&o.ObjectMeta), Spec: appsv1.StatefulSetSpec{Replicas: o.Spec.Replicas}}
	case *corev1.ReplicationController:
		*o = corev1.ReplicationController{ObjectMeta: identity(&o.ObjectMeta), Spec: corev1.ReplicationControllerSpec{Replicas: o.Spec.Replicas}}
	case *batchv1.Job:
		*o = batchv1.Job{ObjectMeta: identity(&o.ObjectMeta)}
	}
	return obj, nil
}

// identity returns by what an object is known.
func identity(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, Generation: m.Generation}
}

func kept(all map[string]string) map[string]string {
	var out map[string]string
	for key, value := range all {
		if len(value) > mostAnnotation || !ours(key) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out
}

func ours(key string) bool {
	for _, p := range annotationPrefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// slimPod drops what no plan reads. What kube-scheduler's filters read stays: requests,
// ports, volumes, affinity and the like, and of the status what in-place resizing
// makes part of a pod's requests (KEP-1287).
func slimPod(p *corev1.Pod) {
	for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for i := range list {
			slimContainer(&list[i])
		}
	}
	p.Spec.EphemeralContainers = nil
	p.Status = corev1.PodStatus{
		Phase: p.Status.Phase, Reason: p.Status.Reason, Conditions: p.Status.Conditions, NominatedNodeName: p.Status.NominatedNodeName,
		StartTime: p.Status.StartTime, Resize: p.Status.Resize, Resources: p.Status.Resources, AllocatedResources: p.Status.AllocatedResources,
		ContainerStatuses: resized(p.Status.ContainerStatuses), InitContainerStatuses: resized(p.Status.InitContainerStatuses),
		ResourceClaimStatuses: p.Status.ResourceClaimStatuses,
	}
}

func slimContainer(c *corev1.Container) {
	if kube.Autoscaler(c) == "" { // whose command line tells which groups it scales
		c.Command, c.Args = nil, nil
	}
	c.WorkingDir, c.Env, c.EnvFrom = "", nil, nil
	c.VolumeMounts, c.VolumeDevices = nil, nil
	c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = nil, nil, nil
	c.TerminationMessagePath, c.TerminationMessagePolicy = "", ""
}

func resized(all []corev1.ContainerStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for _, c := range all {
		if c.AllocatedResources != nil || c.Resources != nil {
			out = append(out, corev1.ContainerStatus{Name: c.Name, AllocatedResources: c.AllocatedResources, Resources: c.Resources})
		}
	}
	return out
}
