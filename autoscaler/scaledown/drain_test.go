package scaledown_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

func emptyDir(medium corev1.StorageMedium) corev1.VolumeSource {
	return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: medium}}
}

func budget(allowed int32, app string) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("pdb-%s-%d", app, allowed)},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	}
}

func TestDrainRules(t *testing.T) {
	const safe = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	app := ct.Labels(map[string]string{"app": "web"})
	system := func(p *corev1.Pod) { p.Namespace = "kube-system" }
	ending := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(-ago)} }
	}
	bare := func(p *corev1.Pod) { p.OwnerReferences = nil }
	tests := []struct {
		name string
		opts []func(*corev1.Pod)
		pdbs []*policyv1.PodDisruptionBudget
		o    scaledown.Options
		want string
	}{
		{name: "a pod of a ReplicaSet moves", want: "remove"},
		{name: "bare pod", opts: []func(*corev1.Pod){bare}, want: "BlockedByPod"},
		{name: "bare pod, safe to evict", opts: []func(*corev1.Pod){bare, ct.Annotation(safe, "true")}, want: "remove"},
		{name: "custom controller", opts: []func(*corev1.Pod){ct.OwnedBy("GameServer", "g")}, want: "BlockedByPod"},
		{name: "custom controller allowed", opts: []func(*corev1.Pod){ct.OwnedBy("GameServer", "g")}, o: scaledown.Options{MoveCustomControllerPods: true}, want: "remove"},
		{name: "Job", opts: []func(*corev1.Pod){ct.OwnedBy("Job", "j")}, want: "remove"},
		{name: "not safe to evict", opts: []func(*corev1.Pod){ct.Annotation(safe, "false")}, want: "BlockedByPod"},
		{name: "on completion", opts: []func(*corev1.Pod){ct.Annotation(safe, "on-completion")}, want: "BlockedByPod"},
		{name: "system pod", opts: []func(*corev1.Pod){system}, want: "BlockedByPod"},
		{name: "system pod allowed", opts: []func(*corev1.Pod){system}, o: scaledown.Options{MoveSystemPods: true}, want: "remove"},
		{name: "emptyDir", opts: []func(*corev1.Pod){ct.Volume("tmp", emptyDir(""))}, want: "BlockedByPod"},
		{name: "emptyDir in memory", opts: []func(*corev1.Pod){ct.Volume("tmp", emptyDir(corev1.StorageMediumMemory))}, want: "remove"},
		{name: "emptyDir named safe", opts: []func(*corev1.Pod){ct.Volume("tmp", emptyDir("")),
			ct.Annotation("cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes", "other, tmp")}, want: "remove"},
		{name: "emptyDir allowed", opts: []func(*corev1.Pod){ct.Volume("tmp", emptyDir(""))}, o: scaledown.Options{MoveLocalStorage: true}, want: "remove"},
		{name: "hostPath", opts: []func(*corev1.Pod){ct.Volume("h", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{}})}, want: "BlockedByPod"},
		{name: "claim", opts: []func(*corev1.Pod){ct.Volume("c", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}})}, want: "BlockedByPod"},
		{name: "claim, even when safe to evict", opts: []func(*corev1.Pod){ct.Annotation(safe, "true"),
			ct.Volume("c", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}})}, want: "BlockedByPod"},
		{name: "ending", opts: []func(*corev1.Pod){ending(time.Second)}, want: "BlockedByPod"},
		{name: "ending without end", opts: []func(*corev1.Pod){ending(time.Minute)}, want: "remove"},
		{name: "expendable, whatever else", opts: []func(*corev1.Pod){bare, ct.Priority(-11)}, want: "remove"},
		{name: "budget with room", opts: []func(*corev1.Pod){app}, pdbs: []*policyv1.PodDisruptionBudget{budget(1, "web")}, want: "remove"},
		{name: "budget without room", opts: []func(*corev1.Pod){app}, pdbs: []*policyv1.PodDisruptionBudget{budget(0, "web")}, want: "BlockedByPod"},
		{name: "budget without room, safe to evict", opts: []func(*corev1.Pod){app, ct.Annotation(safe, "true")},
			pdbs: []*policyv1.PodDisruptionBudget{budget(0, "web")}, want: "BlockedByPod"},
		{name: "two budgets", opts: []func(*corev1.Pod){app}, pdbs: []*policyv1.PodDisruptionBudget{budget(1, "web"), budget(2, "web")}, want: "BlockedByPod"},
		{name: "budget of others", opts: []func(*corev1.Pod){app}, pdbs: []*policyv1.PodDisruptionBudget{budget(0, "db")}, want: "remove"},
		{name: "used from the threshold on", opts: []func(*corev1.Pod){request("1")}, want: "NotUnderutilized"},
		{name: "no place elsewhere", opts: []func(*corev1.Pod){ct.Selector(corev1.LabelHostname, "node-1")}, want: "NoPlaceToMovePods"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(2)
			unneeded(in.Nodes[0], time.Hour)
			in.PodDisruptionBudgets = tt.pdbs
			in.Pods = []*corev1.Pod{ct.Running("keeps-node-2", "node-2", "1", "1Gi"), ct.Running("subject", "node-1", "200m", "128Mi", tt.opts...)}
			d := plan(t, in, tt.o)
			if got := verdict(d, "node-1"); got != tt.want {
				t.Errorf("%s, want %s\n%+v", got, tt.want, d)
			}
		})
	}
}

func request(cpu string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = ct.List("cpu", cpu)["cpu"] }
}
