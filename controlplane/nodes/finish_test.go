package nodes_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/bubble"
)

// stuck puts a pod on the node whose deletion was asked for; its kubelet is gone.
func (r *rig) stuck(t *testing.T, node string, change func(*corev1.Pod)) {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "db", Name: "db-0", UID: "pod"}}
	p.Spec.NodeName = node
	if change != nil {
		change(p)
	}
	if err := r.Client.Tracker().Add(p); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) podIsThere(t *testing.T) bool {
	t.Helper()
	_, err := r.Client.CoreV1().Pods("db").Get(t.Context(), "db-0", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

// attach says that a volume is attached to the node, or none any more.
func (r *rig) attach(t *testing.T, node string, volumes ...corev1.AttachedVolume) {
	t.Helper()
	n, err := r.Client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.Status.VolumesAttached = volumes
	if _, err := r.Client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestPodsOfAGoneInstanceAreFinished(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		instance := r.launch(t)
		r.put(t, newNode("dead", instance, false))
		r.stuck(t, "dead", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(-time.Hour)} })
		bubble.Sleep(10 * time.Minute)
		if !r.podIsThere(t) {
			t.Fatal("a pod is finished while EC2 says that its instance runs: the kubelet is silent, which proves nothing")
		}
		r.want(t, "while the instance runs", "dead")
		r.Terminate(instance)
		bubble.Sleep(11 * time.Second)
		if r.podIsThere(t) {
			t.Error("the pod still waits for its end")
		}
		r.want(t, "once it is proven gone")
	})
}

// EC2 not knowing an instance is no proof against a kubelet that speaks: its pods run.
func TestPodsOfAKubeletThatSpeaksAreNotFinished(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		n := newNode("drained", id, true)
		n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		r.put(t, n)
		r.stuck(t, "drained", nil)
		bubble.Sleep(time.Minute)
		got, err := r.Client.CoreV1().Nodes().Get(t.Context(), "drained", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if kube.HasTaint(got, corev1.TaintNodeOutOfService) || !r.podIsThere(t) {
			t.Errorf("taints %v; the pod is there: %t", got.Spec.Taints, r.podIsThere(t))
		}
		got.Status.Conditions[0].Status = corev1.ConditionUnknown
		if _, err := r.Client.CoreV1().Nodes().UpdateStatus(t.Context(), got, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(20 * time.Second)
		if r.podIsThere(t) {
			t.Error("the pod still waits for its end")
		}
		r.want(t, "once its kubelet is silent")
	})
}

func TestNodeWaitsForItsVolumes(t *testing.T) {
	for name, detached := range map[string]bool{"detached": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			withRig(t, func(t *testing.T, r *rig) {
				instance := r.launch(t)
				r.put(t, newNode("dead", instance, false))
				r.stuck(t, "dead", nil)
				r.attach(t, "dead", corev1.AttachedVolume{Name: "v"})
				r.Terminate(instance)
				bubble.Sleep(15 * time.Second)
				n, err := r.Client.CoreV1().Nodes().Get(t.Context(), "dead", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if !kube.HasTaint(n, corev1.TaintNodeOutOfService) || r.podIsThere(t) {
					t.Errorf("taints %v; the pod is there: %t", n.Spec.Taints, r.podIsThere(t))
				}
				if detached {
					r.attach(t, "dead")
					bubble.Sleep(2 * time.Second)
				} else {
					bubble.Sleep(time.Minute)
				}
				r.want(t, "after its volumes")
			})
		})
	}
}

// What goes with its node is left to that.
func TestPodsThatGoWithTheNode(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		instance := r.launch(t)
		r.put(t, newNode("dead", instance, false))
		r.stuck(t, "dead", func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{kube.DaemonSetOwner("apps/v1", "d", "d")}
		})
		r.Terminate(instance)
		r.Settle()
		bubble.Sleep(11 * time.Second)
		r.want(t, "once it is gone")
		if !r.podIsThere(t) {
			t.Error("a pod of a DaemonSet was deleted by force")
		}
	})
}

// A kubelet that stops being Ready wakes the janitor: EC2 may know why.
func TestSilenceIsAskedAboutAtOnce(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		instance := r.launch(t)
		r.put(t, newNode("dying", instance, true))
		bubble.Sleep(12500 * time.Millisecond)
		r.Terminate(instance)
		r.Settle()
		n := newNode("dying", instance, false)
		if _, err := r.Client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		r.want(t, "a second after its kubelet fell silent")
		told := ""
		for len(r.Events.Events) > 0 {
			told += <-r.Events.Events
		}
		if !strings.Contains(told, "NodeDeleted") {
			t.Errorf("told %q", told)
		}
	})
}

// EC2's own word comes before the kubelet is missed: it is asked about the instance for as
// long as its answers may be old. A claim about one that runs changes nothing, and costs
// little.
func TestEndedInstanceIsAskedAboutAtOnce(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		dying, fine := r.launch(t), r.launch(t)
		r.put(t, newNode("dying", dying, true))
		r.put(t, newNode("fine", fine, true))
		bubble.Sleep(time.Minute)
		r.Terminate(dying)
		if known := r.Ended(dying, "i-0123456789abcdef0"); !slices.Equal(known, []string{dying}) {
			t.Errorf("%q are known, want %s alone", known, dying)
		}
		bubble.Sleep(10*time.Second + 2*r.Weather.Stale)
		r.want(t, "soon after EC2's event, the kubelet still Ready", "fine")
		bubble.Sleep(time.Minute)
		r.ForgetCalls()
		for range 60 {
			r.Ended(fine, "i-0123456789abcdef0")
			bubble.Sleep(time.Second)
		}
		r.want(t, "after a minute of false claims", "fine")
		if n := len(r.Calls()); n > 70 {
			t.Errorf("%d AWS calls in a minute of false claims", n)
		}
		bubble.Sleep(time.Minute)
		r.ForgetCalls()
		for range 60 {
			r.Ended("i-0123456789abcdef0")
			bubble.Sleep(time.Second)
		}
		if n := len(r.Calls()); n > 0 {
			t.Errorf("%d AWS calls for instances of others", n)
		}
	})
}
