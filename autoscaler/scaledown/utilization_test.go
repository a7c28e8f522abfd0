package scaledown_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// What counts as nothing everywhere else is no use of a node either.
func TestUtilizationLeavesOut(t *testing.T) {
	const gpu = corev1.ResourceName("nvidia.com/gpu")
	daemon := ct.Annotation("cluster-autoscaler.kubernetes.io/daemonset-pod", "true")
	ending := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(-ago)} }
	}
	oneGPU := func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests[gpu] = resource.MustParse("1") }
	has := func(offered string, hardware int64) func(*cluster.Input) {
		return func(in *cluster.Input) {
			if offered != "" {
				in.Nodes[0].Status.Allocatable[gpu] = resource.MustParse(offered)
			}
			in.Groups[0].Hardware = map[string]cluster.Amounts{in.Groups[0].Instances[0].Type: {MilliCPU: 2000, Memory: 4 << 30, Scalar: []cluster.Scalar{{Name: gpu, Value: hardware}}}}
		}
	}
	ignore := scaledown.Options{IgnoreDaemonSetsUtilization: true}
	tests := []struct {
		name string
		pod  []func(*corev1.Pod)
		edit func(*cluster.Input)
		o    scaledown.Options
		want string
	}{
		{name: "a pod", want: "NotUnderutilized"},
		{name: "an overdue pod", pod: []func(*corev1.Pod){ending(time.Minute)}, want: "remove"},
		{name: "a pod that is ending", pod: []func(*corev1.Pod){ending(time.Second)}, want: "NotUnderutilized"},
		{name: "a daemon", pod: []func(*corev1.Pod){ct.OwnedBy("DaemonSet", "d")}, want: "NotUnderutilized"},
		{name: "a daemon that is ignored", pod: []func(*corev1.Pod){ct.OwnedBy("DaemonSet", "d")}, o: ignore, want: "remove"},
		{name: "one by its own word", pod: []func(*corev1.Pod){daemon}, want: "NotUnderutilized"},
		{name: "one by its own word, ignored", pod: []func(*corev1.Pod){daemon}, o: ignore, want: "remove"},
		{name: "an overdue daemon that is ignored", pod: []func(*corev1.Pod){daemon, ending(time.Minute)}, o: ignore, want: "remove"},
		{name: "an expendable pod", pod: []func(*corev1.Pod){ct.Priority(-11)}, want: "remove"},
		{name: "a pod beside a GPU", edit: has("1", 1), want: "remove"},
		{name: "a pod beside a GPU without its driver", edit: has("", 1), want: "remove"},
		{name: "a pod beside no GPU", edit: has("", 0), want: "NotUnderutilized"},
		{name: "a pod with a GPU", pod: []func(*corev1.Pod){oneGPU}, edit: has("1", 1), want: "NotUnderutilized"},
		{name: "a daemon with a GPU", pod: []func(*corev1.Pod){oneGPU, ct.OwnedBy("DaemonSet", "d")}, edit: has("2", 2), want: "NotUnderutilized"},
		{name: "a daemon with a GPU, ignored", pod: []func(*corev1.Pod){oneGPU, ct.OwnedBy("DaemonSet", "d")}, edit: has("2", 2), o: ignore, want: "remove"},
		{name: "an overdue pod with a GPU", pod: []func(*corev1.Pod){oneGPU, ending(time.Minute)}, edit: has("1", 1), want: "remove"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(3)
			in.Groups[0].Min = 2
			unneeded(in.Nodes[0], time.Hour)
			// A small pod moves, so that the node is no empty one.
			in.Pods = []*corev1.Pod{
				ct.Running("small", "node-1", "100m", "64Mi"), ct.Running("subject", "node-1", "1", "64Mi", tt.pod...),
				ct.Running("busy-2", "node-2", "1", "64Mi"), ct.Running("busy-3", "node-3", "1", "64Mi"),
			}
			if tt.edit != nil {
				tt.edit(&in)
			}
			if tt.want == "remove" && len(tt.pod) == 0 {
				in.Pods[2].Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("500m")
			}
			if got := verdict(plan(t, in, tt.o), "node-1"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
