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

// A node does not count as full by what it says it has, nor by static pods that it made
// itself; nor does it by having no more than its type when it reports honestly less.
func TestLiarIsNotFullByItsWord(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(in *cluster.Input)
		want string
	}{
		"honest": {func(*cluster.Input) {}, "remove"},
		"reports hardly more than its pod": {func(in *cluster.Input) {
			in.Nodes[0].Status.Allocatable = ct.List("cpu", "110m", "memory", "80Mi", "pods", "110")
		}, "remove"},
		"reports nothing": {func(in *cluster.Input) {
			in.Nodes[0].Status.Allocatable = nil
		}, "remove"},
		"static pods that request everything": {func(in *cluster.Input) {
			p := ct.Running("static", "node-1", "1900m", "3Gi")
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "sum"}
			in.Pods = append(in.Pods, p)
		}, "remove"},
		"static pods that request more than there is": {func(in *cluster.Input) {
			p := ct.Running("static", "node-1", "64", "1Ti")
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "sum"}
			in.Pods = append(in.Pods, p)
		}, "remove"},
		"a GPU that its type does not have, and a static pod that takes it": {func(in *cluster.Input) {
			in.Nodes[0].Status.Allocatable = ct.List("cpu", "2", "memory", "4Gi", "pods", "110", "nvidia.com/gpu", "1")
			p := ct.Running("static", "node-1", "100m", "64Mi")
			p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "sum"}
			p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
			in.Pods = append(in.Pods, p)
		}, "remove"},
		"its reserve leaves it three quarters": {func(in *cluster.Input) {
			in.Nodes[0].Status.Allocatable = ct.List("cpu", "1500m", "memory", "3Gi", "pods", "110")
			in.Pods = append(in.Pods, ct.Running("more", "node-1", "700m", "64Mi"))
		}, string(scaledown.NotUnderutilized)},
	} {
		t.Run(name, func(t *testing.T) {
			in := pool(3)
			in.Groups[0].Hardware = map[string]cluster.Amounts{"t3.medium": cluster.AmountsOf(ct.List("cpu", "2", "memory", "4Gi"))}
			in.Pods = []*corev1.Pod{ct.Running("app", "node-1", "100m", "64Mi")}
			for _, n := range in.Nodes {
				unneeded(n, time.Hour)
			}
			tt.edit(&in)
			in.Pods = append(in.Pods, ct.Running("stays", "node-2", "1100m", "64Mi"), ct.Running("stays-too", "node-3", "1100m", "64Mi"))
			if got := verdict(plan(t, in, scaledown.Options{}), "node-1"); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A node that is not Ready for a moment, with a pod that cannot be drained then, does not
// begin to wait again; its time does not begin by that either.
func TestLiarDoesNotBeginAgain(t *testing.T) {
	for name, recorded := range map[string]time.Duration{"recorded": 9 * time.Minute, "not recorded": 0} {
		in := pool(3)
		in.Pods = []*corev1.Pod{ct.Running("app", "node-1", "100m", "64Mi")}
		n := in.Nodes[0]
		n.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
		lost(n, 0)
		if recorded > 0 {
			unneeded(n, recorded)
		}
		d := plan(t, in, scaledown.Options{})
		since, goesOn := d.Unneeded[n.Name]
		if verdict(d, n.Name) != string(scaledown.NotReady) || goesOn != (recorded > 0) || goesOn && !since.Equal(now.Add(-recorded)) {
			t.Errorf("%s: %s, unneeded since %s", name, verdict(d, n.Name), since)
		}
	}
}

// A Node whose deletion never ends takes no other node's place.
func TestLiarThatIsDeletedWithoutEnd(t *testing.T) {
	for age, want := range map[time.Duration]string{time.Minute: string(scaledown.MaxParallelReached), time.Hour: "remove"} {
		in := pool(3)
		in.Nodes[0].Finalizers = []string{"evil.example/never"}
		in.Nodes[0].DeletionTimestamp = &metav1.Time{Time: now.Add(-age)}
		unneeded(in.Nodes[1], time.Hour)
		if got := verdict(plan(t, in, scaledown.Options{MaxParallel: 1}), in.Nodes[1].Name); got != want {
			t.Errorf("deleted %s ago: the other node: %s, want %s", age, got, want)
		}
	}
}

// A node whose agent honestly saw pods for hours, and that falls silent, is not taken for
// one that was not Ready for hours.
func TestHonestNodeThatFallsSilent(t *testing.T) {
	in := pool(3)
	n := in.Nodes[0]
	agent(n, "False", "PodsRunning", 3*time.Hour)
	unneeded(n, 3*time.Hour)
	d := plan(t, in, scaledown.Options{})
	if since := d.Unneeded[n.Name]; now.Sub(since) > 20*time.Minute {
		t.Errorf("its record goes back to %s", since)
	}
}
