package loop_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// refreshed is a group under Joinery's hooks with pods on its nodes, which its owners make
// again and the test schedules.
type refreshed struct {
	*fixture
	api  *autoscaling.Client
	pods int
	made int
	// cut are the pods whose instance ended with them on it.
	cut []string
}

func newRefreshed(t *testing.T, nodes, pods int) *refreshed {
	t.Helper()
	r := &refreshed{fixture: newFixtureWith(t, &awssim.World{}, "scaleDown: {unneededTime: 2m, delayAfterAdd: 1m, utilizationThreshold: 0.9, moveSystemPods: true}"), pods: pods}
	r.api = autoscaling.NewFromConfig(r.aws.Config("operator"))
	(&simcluster.Evictions{}).In(r.kube)
	r.group("workers", 1, nodes)
	r.live(time.Minute)
	for name, transition := range map[string]string{"joinery-launch": "LAUNCHING", "joinery-terminate": "TERMINATING"} {
		_, err := r.api.PutLifecycleHook(t.Context(), &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: aws.String("workers"), LifecycleHookName: &name,
			LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition), HeartbeatTimeout: aws.Int32(300)})
		r.ok(err)
	}
	return r
}

// hooked starts what completes the hooks.
func (r *refreshed) hooked() (stop func() error) {
	by := r.cluster.Readers(r.aws.Config("joinery-controller"))
	policy := hooks.Policy{Cluster: simcluster.Name, Region: r.aws.Region, Mode: v1alpha1.IPName}
	policy.Lifecycle.SetDefaults()
	l := hooks.NewLoop(hooks.Deps{
		Client: r.kube, Store: by.Store, Finder: by.Fleet, AutoScaling: by.AutoScaling, Binding: by.Binder,
		Events: r.events, Registry: prometheus.NewRegistry(), Log: r.cluster.Log,
	}, policy)
	return r.cluster.Start(l.Run)
}

// live plays kubelets, the janitor, controllers and the scheduler for a while.
func (r *refreshed) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); bubble.Sleep(5 * time.Second) {
		r.join()
		for _, n := range r.nodes() {
			if c := &n.Status.Conditions[0]; c.LastHeartbeatTime.IsZero() {
				c.LastHeartbeatTime, c.LastTransitionTime = metav1.Now(), metav1.Now()
				_, err := r.kube.CoreV1().Nodes().UpdateStatus(r.t.Context(), &n, metav1.UpdateOptions{})
				r.ok(err)
			}
		}
		gone := map[string]bool{}
		for _, in := range r.aws.Instances() {
			if in.State == awssim.Terminated {
				gone[simcluster.NodeOf(in).Name] = true
				_ = r.kube.CoreV1().Nodes().Delete(r.t.Context(), simcluster.NodeOf(in).Name, metav1.DeleteOptions{})
			}
		}
		list, err := r.kube.CoreV1().Pods("default").List(r.t.Context(), metav1.ListOptions{})
		r.ok(err)
		there := 0
		for i := range list.Items {
			p := &list.Items[i]
			if gone[p.Spec.NodeName] {
				r.cut = append(r.cut, p.Name)
				r.ok(r.kube.CoreV1().Pods("default").Delete(r.t.Context(), p.Name, metav1.DeleteOptions{}))
				continue
			}
			if there++; p.Spec.NodeName == "" {
				r.place(p)
			}
		}
		for ; there < r.pods; there++ {
			r.made++
			r.pend(1, fmt.Sprint("app-", r.made), "800m", "64Mi")
		}
	}
}

// place puts a pod on the first node that has room for it: two fit.
func (r *refreshed) place(p *corev1.Pod) {
	list, err := r.kube.CoreV1().Pods("default").List(r.t.Context(), metav1.ListOptions{})
	r.ok(err)
	on := map[string]int{}
	for _, o := range list.Items {
		on[o.Spec.NodeName]++
	}
	for _, n := range r.nodes() {
		if on[n.Name] >= 2 || n.Spec.Unschedulable || len(n.Spec.Taints) > 0 {
			continue
		}
		p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = n.Name, corev1.PodRunning, nil
		_, err := r.kube.CoreV1().Pods("default").Update(r.t.Context(), p, metav1.UpdateOptions{})
		r.ok(err)
		return
	}
}

// An instance refresh replaces every node of a group, whatever its preference says of
// protected instances but to leave them alone. Each is drained first, nothing is scaled
// down meanwhile, and the group ends as large as it was.
func TestInstanceRefreshGoesThrough(t *testing.T) {
	for preference, seen := range map[types.ScaleInProtectedInstances]string{
		"": "InstanceRefreshSeen", types.ScaleInProtectedInstancesWait: "InstanceRefreshSeen",
		types.ScaleInProtectedInstancesRefresh: "InstanceRefreshSeen", types.ScaleInProtectedInstancesIgnore: "",
	} {
		t.Run(string(preference), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRefreshed(t, 4, 7)
				stop := r.hooked()
				defer func() { _ = stop() }()
				defer r.run()()
				r.live(10 * time.Minute)
				if d, n := r.desired("workers"), r.protected("workers"); d != 4 || n != 4 {
					t.Fatalf("desired is %d with %d protected, want 4 of 4: %+v", d, n, r.decisions()[0])
				}
				old := r.running("workers")
				r.aws.ForgetCalls()
				_, err := r.api.StartInstanceRefresh(t.Context(), &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("workers"),
					Preferences: &types.RefreshPreferences{MinHealthyPercentage: aws.Int32(75), InstanceWarmup: aws.Int32(30), ScaleInProtectedInstances: preference}})
				r.ok(err)
				r.live(2 * time.Hour)
				r.judge(old, preference != types.ScaleInProtectedInstancesIgnore, seen)
			})
		})
	}
}

// A refresh is rolled back in the middle: what it has launched is replaced again. A group
// that protects each new instance itself is refreshed all the same.
func TestInstanceRefreshRollsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefreshed(t, 4, 7)
		_, err := r.api.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("workers"), NewInstancesProtectedFromScaleIn: aws.Bool(true),
			LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("workers"), Version: aws.String("1")}})
		r.ok(err)
		stop := r.hooked()
		defer func() { _ = stop() }()
		defer r.run()()
		r.live(10 * time.Minute)
		r.putTemplate("workers", "t3.medium")
		_, err = r.api.StartInstanceRefresh(t.Context(), &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("workers"),
			DesiredConfiguration: &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("workers"), Version: aws.String("2")}},
			Preferences:          &types.RefreshPreferences{MinHealthyPercentage: aws.Int32(75), InstanceWarmup: aws.Int32(30)}})
		r.ok(err)
		younger := func() (n int) {
			for _, in := range r.running("workers") {
				if in.LaunchTemplateVersion == 2 {
					n++
				}
			}
			return n
		}
		for range 60 {
			if r.live(time.Minute); younger() >= 2 {
				break
			}
		}
		if n := younger(); n < 2 {
			t.Fatalf("%d instances are of the new version after an hour", n)
		}
		_, err = r.api.RollbackInstanceRefresh(t.Context(), &autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: aws.String("workers")})
		r.ok(err)
		r.live(2 * time.Hour)
		out, err := r.api.DescribeInstanceRefreshes(t.Context(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("workers")})
		r.ok(err)
		if s := out.InstanceRefreshes[0]; s.Status != types.InstanceRefreshStatusRollbackSuccessful || younger() > 0 {
			t.Errorf("the refresh is %s with %d of the new version: %s", s.Status, younger(), aws.ToString(s.StatusReason))
		}
		if len(r.cut) > 0 {
			t.Errorf("pods ended with their machines: %q", r.cut)
		}
	})
}

func (r *refreshed) judge(old []awssim.Instance, replaced bool, seen string) {
	r.t.Helper()
	bubble.Sleep(10 * time.Second)
	out, err := r.api.DescribeInstanceRefreshes(r.t.Context(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("workers")})
	r.ok(err)
	if s := out.InstanceRefreshes[0]; s.Status != types.InstanceRefreshStatusSuccessful {
		r.t.Errorf("the refresh is %s after two hours: %s", s.Status, aws.ToString(s.StatusReason))
	}
	left := 0
	for _, in := range old {
		if r.state(in.ID) == awssim.Running {
			left++
		}
	}
	if want := map[bool]int{true: 0, false: 4}[replaced]; left != want {
		r.t.Errorf("%d of the old instances are left, want %d", left, want)
	}
	if d, n := r.desired("workers"), r.protected("workers"); d != 4 || n != 4 {
		r.t.Errorf("desired is %d with %d protected, want 4 of 4: %+v", d, n, r.decisions()[0])
	}
	if len(r.cut) > 0 {
		r.t.Errorf("pods ended with their machines: %q", r.cut)
	}
	if n := len(r.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")); n > 0 {
		r.t.Errorf("the autoscaler ended %d instances", n)
	}
	if n := r.eventsWith(seen); seen != "" && n != 1 {
		r.t.Errorf("%d events %s, want 1", n, seen)
	}
	for _, d := range r.decisions() {
		for _, g := range d.Groups {
			if strings.Contains(g.Blocked, "owed") {
				r.t.Errorf("backed off for %q", g.Blocked)
			}
		}
	}
}

// state is that of an instance by EC2.
func (r *refreshed) state(id string) awssim.State {
	in, err := r.aws.Instance(id)
	if err != nil {
		return awssim.Terminated
	}
	return in.State
}
