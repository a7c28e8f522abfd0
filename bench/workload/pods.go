package workload

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// maker collects the pending pods of a workload.
type maker struct {
	random *rand.Rand
	pods   []*corev1.Pod
}

// add makes one pending pod of an app.
func (m *maker) add(app string, cpu, memory int64, opts ...func(*corev1.Pod)) {
	pod := makePod(app, fmt.Sprintf("%s-%05d", app, len(m.pods)), cpu, memory)
	pod.CreationTimestamp = metav1.NewTime(Now.Add(-time.Minute))
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		LastTransitionTime: metav1.NewTime(Now.Add(-time.Minute)),
	}}}
	for _, o := range opts {
		o(pod)
	}
	m.pods = append(m.pods, pod)
}

// makePod makes a pod as a Deployment's ReplicaSet and the API server's
// admission leave it: with the usual tolerations and a volume for the service
// account whose name no other pod shares. CPU is in thousandths of a core,
// memory in MiB.
func makePod(app, name string, cpu, memory int64) *corev1.Pod {
	volume := "kube-api-access-" + suffix(name)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, GenerateName: app + "-", UID: types.UID("uid-" + name),
			Labels: map[string]string{"app": app, "pod-template-hash": suffix(app)},
		},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName, ServiceAccountName: "default",
			RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.example/" + app + ":1",
				Resources:    corev1.ResourceRequirements{Requests: list(cpu, memory, 0)},
				VolumeMounts: []corev1.VolumeMount{{Name: volume, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
			}},
			Tolerations: []corev1.Toleration{fiveMinutes(corev1.TaintNodeNotReady), fiveMinutes(corev1.TaintNodeUnreachable)},
			Volumes:     []corev1.Volume{{Name: volume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}},
		},
	}
	clustertest.OwnedBy("ReplicaSet", app)(pod)
	return pod
}

func fiveMinutes(taint string) corev1.Toleration {
	seconds := int64(300)
	return corev1.Toleration{
		Key: taint, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
	}
}

// suffix makes the random part of a generated name; the same for the same text.
func suffix(text string) string {
	h := fnv.New32a()
	h.Write([]byte(text))
	return fmt.Sprintf("%08x", h.Sum32())
}
