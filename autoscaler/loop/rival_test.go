package loop_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func rivalLease(namespace, name string, seconds int32) *coordinationv1.Lease {
	holder := "ca-0"
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: time.Now()}}}
}

// oldLock is a lock as Cluster Autoscaler kept it before Leases.
func oldLock() metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "autoscaling", Name: "cluster-autoscaler", Annotations: map[string]string{
		"control-plane.alpha.kubernetes.io/leader": `{"holderIdentity":"ca-0","leaseDurationSeconds":70,"renewTime":"` + time.Now().UTC().Format(time.RFC3339) + `"}`,
	}}
}

func autoscalerPod() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "autoscaling", Name: "ca-0", UID: "ca-0"},
		Spec:   corev1.PodSpec{NodeName: "master", Containers: []corev1.Container{{Name: "ca", Image: "x/y", Command: []string{"./cluster-autoscaler", "--cloud-provider=aws", "--leader-elect-resource-name=mine"}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
}

// Nothing is done, and AWS is not even asked, while a Cluster Autoscaler shows itself,
// wherever it runs and however it elects its leader; once it is gone, Joinery takes over.
func TestNothingIsDoneBesideAClusterAutoscaler(t *testing.T) {
	for name, trace := range map[string]func() runtime.Object{
		"lease":                      func() runtime.Object { return rivalLease("kube-system", "cluster-autoscaler", 70) },
		"lease in another namespace": func() runtime.Object { return rivalLease("autoscaling", "cluster-autoscaler", 70) },
		//lint:ignore SA1019 an old Cluster Autoscaler writes it
		"endpoints": func() runtime.Object { return &corev1.Endpoints{ObjectMeta: oldLock()} },
		"configmap": func() runtime.Object { return &corev1.ConfigMap{ObjectMeta: oldLock()} },
		"pod":       func() runtime.Object { return autoscalerPod() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &awssim.World{})
				f.group("workers", 0, 0)
				f.ok(f.kube.Tracker().Add(trace()))
				defer f.run()()
				f.pend(1, "app", "1", "1Gi")
				bubble.Sleep(time.Minute)
				if n := len(f.aws.Calls()); n != 0 {
					t.Errorf("%d AWS calls beside a Cluster Autoscaler, want none", n)
				}
				if last := f.decisions()[0]; !strings.Contains(last.Refused, "ca-0") {
					t.Errorf("refused for %q", last.Refused)
				}
				if n := f.eventsWith("RivalAutoscaler"); n != 1 {
					t.Errorf("%d events, want 1", n)
				}
				if name == "pod" {
					f.ok(f.kube.CoreV1().Pods("autoscaling").Delete(t.Context(), "ca-0", metav1.DeleteOptions{}))
				}
				bubble.Sleep(time.Minute)
				if d := f.desired("workers"); d != 1 {
					t.Errorf("desired is %d after it went, want 1", d)
				}
			})
		})
	}
}

// Whoever may write into some namespace can leave a trace there. Namespaces that the
// operator names count for nothing.
func TestATraceInAnIgnoredNamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "ignoreRivalsIn: [autoscaling]")
		f.group("workers", 0, 0)
		f.ok(f.kube.Tracker().Add(autoscalerPod()))
		f.ok(f.kube.Tracker().Add(rivalLease("autoscaling", "cluster-autoscaler", 70)))
		defer f.run()()
		f.pend(1, "app", "1", "1Gi")
		bubble.Sleep(30 * time.Second)
		if d := f.desired("workers"); d != 1 {
			t.Errorf("desired is %d, want 1: %+v", d, f.decisions()[0])
		}
	})
}

// Karpenter may buy nodes of its own beside our groups; where a Node of a group is in
// one of its NodePools, it would end our instances, and nothing is done.
func TestKarpenterOverOurNodes(t *testing.T) {
	for pool, want := range map[string]int{"": 2, "default": 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, &awssim.World{})
			f.group("workers", 0, 1)
			f.join()
			nodes, err := f.kube.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			f.ok(err)
			n := &nodes.Items[0]
			if pool != "" {
				n.Labels["karpenter.sh/nodepool"] = pool
			}
			_, err = f.kube.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{})
			f.ok(err)
			f.ok(f.kube.Tracker().Add(rivalLease("karpenter", "karpenter-leader-election", 300)))
			defer f.run()()
			f.pend(3, "app", "1", "1Gi")
			bubble.Sleep(30 * time.Second)
			if d := f.desired("workers"); d != want {
				t.Errorf("pool %q: desired is %d, want %d: %+v", pool, d, want, f.decisions()[0])
			}
			if n := f.eventsWith("RivalAutoscaler"); n != 1 {
				t.Errorf("pool %q: %d events, want 1", pool, n)
			}
		})
	}
}

// traces counts the lists for traces of other autoscalers.
func (f *fixture) traces() (n int) {
	for _, a := range f.kube.Actions() {
		if l, ok := a.(k8stesting.ListAction); ok && strings.HasPrefix(l.GetListRestrictions().Fields.String(), "metadata.name=") {
			n++
		}
	}
	return n
}

// At rest the API server is asked for traces once a minute: five lists.
func TestRestAsksForRivalsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "scaleDown: {disabled: true}")
		f.group("workers", 0, 2)
		f.join()
		defer f.run()()
		bubble.Sleep(5 * time.Minute)
		before := f.traces()
		bubble.Sleep(10 * time.Minute)
		if n := f.traces() - before; n > 55 {
			t.Errorf("%d lists in ten minutes at rest, want at most 55", n)
		}
	})
}

// A Cluster Autoscaler that starts while the cluster is at rest, and marks a node at
// once, keeps its mark. Nothing is removed under it.
func TestRivalThatStartsAtRest(t *testing.T) {
	for name, taint := range map[string]string{"mark": kube.ToBeDeletedTaint, "candidate": kube.DeletionCandidateTaint, "idle node": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixtureWith(t, &awssim.World{}, "scaleDown: {unneededTime: 13m, delayAfterAdd: 1s}")
				f.group("workers", 0, 2)
				f.join()
				defer f.run()()
				bubble.Sleep(12*time.Minute + 45*time.Second)
				f.ok(f.kube.Tracker().Add(rivalLease("scaling", "cluster-autoscaler", 3600)))
				if taint != "" {
					n := f.nodes()[0]
					n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: taint, Effect: corev1.TaintEffectPreferNoSchedule})
					_, err := f.kube.CoreV1().Nodes().Update(t.Context(), &n, metav1.UpdateOptions{})
					f.ok(err)
				}
				bubble.Sleep(5 * time.Minute)
				if n := f.nodes()[0]; taint != "" && !kube.HasTaint(&n, taint) {
					t.Errorf("the other's taint %s is gone", taint)
				}
				if d := f.desired("workers"); d != 2 {
					t.Errorf("desired is %d, want 2", d)
				}
				if n := f.eventsWith("RivalAutoscaler"); n != 1 {
					t.Errorf("%d events, want 1", n)
				}
			})
		})
	}
}

// What a Cluster Autoscaler left on nodes goes once it is gone. An operator's own taint
// stays, and so does everything on a Node of no group.
func TestLeftoversOfClusterAutoscaler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 2, 2)
		f.join()
		left := []corev1.Taint{
			{Key: kube.ToBeDeletedTaint, Value: "1", Effect: corev1.TaintEffectNoSchedule},
			{Key: kube.DeletionCandidateTaint, Value: "1", Effect: corev1.TaintEffectPreferNoSchedule},
			{Key: kube.StatusTaintPrefix + "disk", Effect: corev1.TaintEffectNoSchedule},
		}
		for _, n := range f.nodes() {
			n.Spec.Taints = left
			_, err := f.kube.CoreV1().Nodes().Update(t.Context(), &n, metav1.UpdateOptions{})
			f.ok(err)
		}
		f.ok(f.kube.Tracker().Add(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "on-premises"}, Spec: corev1.NodeSpec{Taints: left}}))
		defer f.run()()
		bubble.Sleep(time.Minute)
		for _, n := range f.nodes() {
			want := 1
			if n.Name == "on-premises" {
				want = 3
			}
			if len(n.Spec.Taints) != want || !kube.HasTaint(&n, kube.StatusTaintPrefix+"disk") {
				t.Errorf("node %s has taints %v", n.Name, n.Spec.Taints)
			}
		}
	})
}
