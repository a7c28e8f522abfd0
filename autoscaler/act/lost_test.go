package act_test

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/kube"
)

// ready gives the node the kubelet's condition, and its agent's if there is a reason.
func ready(status corev1.ConditionStatus, reason v1alpha1.ReadyReason) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}
		if reason != "" {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
				Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionFalse, Reason: string(reason), LastHeartbeatTime: metav1.Now(),
			})
		}
	}
}

func (f *fixture) lost(i int) scaledown.Decision {
	d := f.removal(i)
	d.Remove[0].Lost = true
	return d
}

func TestLostNodeEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		minimum, desired int
		reason           v1alpha1.ReadyReason
	}{
		"above the minimum":                    {1, 1, ""},
		"at the minimum: AWS launches another": {2, 2, ""},
		"an agent outlives its kubelet":        {1, 1, v1alpha1.Joining},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, tt.minimum, 2)
				f.change(0, ready(corev1.ConditionUnknown, tt.reason))
				pod := f.addPod("stuck", nodeName(0))
				f.ScaleDown(t.Context(), f.lost(0))
				f.Wait()
				g := f.groups()[0]
				if g.Desired != tt.desired || !g.LaunchFailure.At.IsZero() || !kube.Marked(f.node(0)) {
					t.Errorf("desired %d, failure %+v, marked %t", g.Desired, g.LaunchFailure, kube.Marked(f.node(0)))
				}
				for _, i := range g.Instances {
					if i.ID == f.ids[0] && !i.Leaving() {
						t.Error("the instance stays")
					}
				}
				// Whether the machine still runs it is not known yet.
				if _, err := f.kube.CoreV1().Pods(pod.Namespace).Get(t.Context(), pod.Name, metav1.GetOptions{}); err != nil {
					t.Error(err)
				}
				f.event(1, "NodeLost", "terminated instance "+f.ids[0])
			})
		})
	}
}

func TestLostNodeThatIsNotStays(t *testing.T) {
	for name, change := range map[string]func(f *fixture){
		"Ready again":          func(f *fixture) { f.change(0, ready(corev1.ConditionTrue, "")) },
		"held":                 func(f *fixture) { f.change(0, ready(corev1.ConditionUnknown, v1alpha1.HoldFile)) },
		"another Node by now":  func(f *fixture) { f.change(0, func(n *corev1.Node) { n.UID = "made-again" }) },
		"not adopted any more": func(f *fixture) { f.records.drop(nodeName(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, 0, 2)
				f.change(0, ready(corev1.ConditionUnknown, ""))
				change(f)
				f.ScaleDown(t.Context(), f.lost(0))
				f.Wait()
				f.untouched(0, 2)
				f.event(0, "NodeLost")
			})
		})
	}
}

func TestLostNodesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, 0, 1)
		d := scaledown.Decision{
			Lost: []scaledown.Lost{{Node: nodeName(0), Kept: "the node holds itself", Pods: []string{"default/a", "default/b"}, Claims: 1}},
		}
		f.TellLost(d)
		f.TellLost(d) // once in five minutes
		f.event(1, "NodeLost", "the node stays: the node holds itself; 2 pods end only with it: default/a, default/b; 1 of them have volumes")
		f.TellLost(scaledown.Decision{Brake: "5 of 9 nodes are not Ready"})
		f.event(1, "TooManyUnready", "5 of 9 nodes")
	})
}
