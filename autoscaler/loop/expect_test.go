package loop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// launched are the instances that a group has ever had, by id.
func (f *fixture) launched(group string) []awssim.Instance {
	f.t.Helper()
	var out []awssim.Instance
	for _, in := range f.aws.Instances() {
		if in.Group == group {
			out = append(out, in)
		}
	}
	return out
}

// inZone makes a pending pod demand a zone, as the disk of its volume does.
func (f *fixture) inZone(pod, zone string) {
	f.t.Helper()
	p, err := f.kube.CoreV1().Pods("default").Get(f.t.Context(), pod, metav1.GetOptions{})
	f.ok(err)
	p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: zone}
	f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
}

// joinAs makes a Node of every running instance that has none, as change has it.
func (f *fixture) joinAs(change func(*corev1.Node)) {
	f.t.Helper()
	for _, in := range f.aws.Instances() {
		if in.State != awssim.Running {
			continue
		}
		n := simcluster.NodeOf(in)
		n.CreationTimestamp = metav1.Now()
		n.Labels[corev1.LabelTopologyZone] = in.Zone
		change(n)
		if _, err := f.kube.CoreV1().Nodes().Get(f.t.Context(), n.Name, metav1.GetOptions{}); err != nil {
			f.register(n)
		}
	}
}

// during calls each every half minute for a while.
func during(d time.Duration, each func()) {
	for range int(d / (30 * time.Second)) {
		bubble.Sleep(30 * time.Second)
		each()
	}
}

// outcomes returns expectations_total of an outcome.
func (f *fixture) outcomes(kind string) float64 {
	f.t.Helper()
	families, err := f.metrics.Gather()
	f.ok(err)
	for _, m := range families {
		if m.GetName() != "joinery_autoscaler_expectations_total" {
			continue
		}
		for _, one := range m.GetMetric() {
			if one.GetLabel()[0].GetValue() == kind {
				return one.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// blocked is why the last round could not grow a group.
func (f *fixture) blocked(group string) string {
	f.t.Helper()
	for _, g := range f.decisions()[0].Groups {
		if g.Name == group {
			return g.Blocked
		}
	}
	return ""
}

// unhelped is what the last round told a pod.
func (f *fixture) unhelped(pod string) string {
	f.t.Helper()
	d := f.decisions()[0]
	for _, p := range slices.Concat(d.Unhelped, d.Waiting) {
		if p.Name == "default/"+pod {
			return p.Reason
		}
	}
	return ""
}

// A pod's disk is in a zone without capacity, and Auto Scaling launches in the other
// zone instead: the zone backs off, with what AWS says, and the pod is told.
func TestZoneWithoutCapacityBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0, "us-west-2a", "us-west-2b")
		recovered := f.aws.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: "us-west-2a"}})
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		f.inZone("app-0", "us-west-2a")
		bubble.Sleep(20 * time.Second)
		f.join()
		bubble.Sleep(40 * time.Second)
		if n := len(f.launched("workers")); n != 1 {
			t.Fatalf("%d instances in the first minute, want one attempt: %+v", n, f.decisions()[0])
		}
		for _, told := range []string{f.blocked("workers"), f.unhelped("app-0")} {
			if !strings.Contains(told, "zone us-west-2a: ") || !strings.Contains(told, "InsufficientInstanceCapacity") {
				t.Errorf("told: %s", told)
			}
		}
		if f.eventsWith("NotTriggerScaleUp") == 0 || f.outcomes("short") != 1 {
			t.Errorf("the pod has no event, or %g came short, want 1", f.outcomes("short"))
		}
		node := func(n *corev1.Node) { idle(n) }
		during(2*time.Hour, func() { f.joinAs(node); f.idleNodes() })
		if n := len(f.launched("workers")); n > 5 {
			t.Errorf("%d instances in two hours, want at most 5: %+v", n, f.decisions()[0])
		}
		recovered()
		during(3*time.Hour, func() { f.joinAs(node); f.idleNodes() })
		if !slices.ContainsFunc(f.launched("workers"), func(in awssim.Instance) bool { return in.Zone == "us-west-2a" }) {
			t.Errorf("no instance came in the zone after it had capacity again: %+v", f.decisions()[0])
		}
	})
}

// Nodes register and are never Ready: one time-out, then back-off with the cause, and
// one node at a time.
func TestNodesThatAreNeverReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0, "us-west-2a")
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(4, "app", "1500m", "1Gi")
		broken := func(n *corev1.Node) {
			n.Status.Conditions[0].Status, n.Status.Conditions[0].Message = corev1.ConditionFalse, "cni plugin not initialized"
			n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}
		}
		during(17*time.Minute, func() { f.joinAs(broken) })
		if n := len(f.launched("workers")); n != 4 {
			t.Fatalf("%d instances before and right after the time-out, want 4", n)
		}
		if why := f.blocked("workers"); !strings.Contains(why, "backed off until") || !strings.Contains(why, "cni plugin not initialized") {
			t.Errorf("blocked: %s", why)
		}
		if n := f.outcomes("never"); n != 4 {
			t.Errorf("%g never came, want 4", n)
		}
		during(103*time.Minute, func() { f.joinAs(broken) })
		if n := len(f.launched("workers")); n > 7 {
			t.Errorf("%d instances in two hours, want at most 7", n)
		}
	})
}

// A group with more than three and more than 45 % of its instances not Ready does not
// grow.
func TestUnhealthyGroupDoesNotGrow(t *testing.T) {
	for bad, want := range map[int]int{3: 6, 4: 5, 2: 6} {
		t.Run(fmt.Sprint(bad, " of 5"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &awssim.World{})
				f.group("workers", 5, 5)
				i := 0
				f.joinAs(func(n *corev1.Node) {
					if i++; i <= bad {
						n.Status.Conditions[0].Status = corev1.ConditionUnknown
					}
				})
				for k, n := range f.nodes() {
					f.runOn(n.Name, fmt.Sprint("busy-", k), "1500m", true)
				}
				defer f.run()()
				bubble.Sleep(time.Minute)
				f.pend(1, "app", "1", "1Gi")
				bubble.Sleep(30 * time.Second)
				if d := f.desired("workers"); d != want {
					t.Errorf("desired is %d, want %d: %+v", d, want, f.decisions()[0])
				}
				if told := f.unhelped("app-0"); want == 5 && !strings.Contains(told, "4 of its 5 instances are no Ready nodes") {
					t.Errorf("told: %s", told)
				}
			})
		})
	}
}

// An instance that another's launch hook holds is replaced once its time is over, and
// its group backs off.
func TestInstanceStuckInALaunchHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0, "us-west-2a")
		f.hook("workers", "theirs")
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		during(18*time.Minute, func() {})
		all := f.launched("workers")
		if len(all) != 1 || !f.ended(all[0].ID) {
			t.Errorf("%d instances, the first ended: %t; want one, replaced after 15 min: %+v", len(all), f.ended(all[0].ID), f.decisions()[0])
		}
		if why := f.blocked("workers"); !strings.Contains(why, "launch hook") && !strings.Contains(why, "did not become a node") {
			t.Errorf("blocked: %s", why)
		}
		during(62*time.Minute, func() {})
		if n := len(f.launched("workers")); n > 3 {
			t.Errorf("%d instances in 80 min, want at most 3", n)
		}
	})
}

// A node comes with all that the group promises and the scheduler does not use it: no
// second one is bought by the same reasoning, and the pod is told why.
func TestNodeThatDoesNotHelpIsBoughtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 0, "us-west-2a")
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		tainted := func(n *corev1.Node) {
			idle(n)
			n.Spec.Taints = []corev1.Taint{{Key: "example.com/quarantine", Effect: corev1.TaintEffectNoSchedule}}
		}
		during(29*time.Minute, func() { f.joinAs(tainted); f.idleNodes() })
		if n := len(f.launched("workers")); n != 1 {
			t.Errorf("%d instances in half an hour, want 1", n)
		}
		if told := f.unhelped("app-0"); !strings.Contains(told, "was bought and did not help") || !strings.Contains(told, "taint example.com/quarantine:NoSchedule") {
			t.Errorf("told: %s", told)
		}
		during(90*time.Minute, func() { f.joinAs(tainted); f.idleNodes() })
		if n := len(f.launched("workers")); n > 2 {
			t.Errorf("%d instances in two hours, want at most 2", n)
		}
	})
}

// What was bought in vain is not bought again because the leader changed.
func TestFailedForecastOutlivesItsLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const settings = "scaleDown: {drainTimeout: 1m}"
		f := newFixtureWith(t, &awssim.World{}, settings)
		f.group("workers", 0, 0, "us-west-2a")
		stop := f.run()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		tainted := func(n *corev1.Node) {
			idle(n)
			n.Spec.Taints = []corev1.Taint{{Key: "example.com/quarantine", Effect: corev1.TaintEffectNoSchedule}}
		}
		during(10*time.Minute, func() { f.joinAs(tainted); f.idleNodes() })
		for range 3 {
			stop()
			f.metrics = prometheus.NewRegistry()
			f.lead(settings)
			stop = f.run()
			during(5*time.Minute, func() { f.joinAs(tainted); f.idleNodes() })
		}
		defer stop()
		if n := len(f.launched("workers")); n != 1 {
			t.Errorf("%d instances under four leaders, want 1: %s", n, f.unhelped("app-0"))
		}
	})
}

// A group whose process Launch is suspended is none: another helps at once.
func TestGroupThatMayNotLaunchIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("a", 0, 0)
		f.group("b", 0, 0)
		f.suspend("a", "Launch")
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(3, "app", "1", "1Gi")
		bubble.Sleep(10 * time.Second)
		if a, b := f.desired("a"), f.desired("b"); a != 0 || b != 2 {
			t.Errorf("desired is %d in a and %d in b, want 0 and 2: %+v", a, b, f.decisions()[0])
		}
		if why := f.blocked("a"); why != "its process Launch is suspended" {
			t.Errorf("a is blocked by %q", why)
		}
	})
}

// suspend suspends processes of a group, as an operator does.
func (f *fixture) suspend(group string, processes ...string) {
	f.t.Helper()
	api := autoscaling.NewFromConfig(f.aws.Config("operator"))
	_, err := api.SuspendProcesses(f.t.Context(), &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &group, ScalingProcesses: processes})
	f.ok(err)
}

// hook puts a launch hook on a group that nobody answers for two hours.
func (f *fixture) hook(group, name string) {
	f.t.Helper()
	api := autoscaling.NewFromConfig(f.aws.Config("operator"))
	_, err := api.PutLifecycleHook(f.t.Context(), &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: &group, LifecycleHookName: &name,
		LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"), HeartbeatTimeout: aws.Int32(7200),
	})
	f.ok(err)
}
