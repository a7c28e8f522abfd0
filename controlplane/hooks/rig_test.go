package hooks_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// rig is one group "g" with both hooks in a simulated AWS, and an API server in
// memory. It lives in a synctest bubble.
type rig struct {
	*simcluster.Cluster
	asg       *autoscaling.Client
	loop      *hooks.Loop // the one that was started last
	evictions simcluster.Evictions
	stops     []func()
}

func withRig(t *testing.T, spec awssim.GroupSpec, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{Cluster: simcluster.New(t, &awssim.World{Timing: awssim.Timing{Boot: 5 * time.Second, Proceed: 3 * time.Second}})}
		r.asg = autoscaling.NewFromConfig(r.Config("operator"))
		r.Role(func(v iam.Values) (string, error) { return iam.Queue(v, "events") })
		r.evictions.In(r.Client)
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
		spec.Name, spec.LaunchTemplate, spec.Max = "g", "nodes", 5
		if spec.Tags == nil {
			spec.Tags = simcluster.Tags()
		}
		desired := spec.Desired
		spec.Desired = 0
		r.OK(r.PutGroup(spec))
		r.putHook("up", "LAUNCHING", 60)
		r.putHook("down", "TERMINATING", 60)
		r.setDesired(desired)
		defer func() {
			for _, stop := range r.stops {
				stop()
			}
		}()
		test(r)
	})
}

func (r *rig) putHook(name, transition string, heartbeat int32) {
	r.T.Helper()
	_, err := r.asg.PutLifecycleHook(r.T.Context(), &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name, LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition),
		HeartbeatTimeout: &heartbeat, DefaultResult: aws.String("ABANDON"),
	})
	r.OK(err)
}

func (r *rig) setDesired(n int) {
	r.T.Helper()
	_, err := r.asg.SetDesiredCapacity(r.T.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: aws.Int32(int32(n))})
	r.OK(err)
}

func (r *rig) terminate(id string) {
	r.T.Helper()
	_, err := r.asg.TerminateInstanceInAutoScalingGroup(r.T.Context(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	r.OK(err)
}

// newLoop returns a loop that talks to AWS with cfg.
func (r *rig) newLoop(cfg aws.Config, p hooks.Policy) *hooks.Loop {
	return hooks.NewLoop(r.deps(cfg), p)
}

// deps are what a loop works with that talks to AWS with cfg.
func (r *rig) deps(cfg aws.Config) hooks.Deps {
	r.Registry = prometheus.NewRegistry() // each loop registers its own metrics
	by := r.Readers(cfg)
	return hooks.Deps{
		Client: r.Client, Store: by.Store, Finder: by.Fleet, AutoScaling: by.AutoScaling, Binding: by.Binder,
		Events: r.Events, Registry: r.Registry, Log: r.Log,
	}
}

// start runs a loop until the test ends or stop is called.
func (r *rig) start(p hooks.Policy) (stop func()) {
	r.loop = r.newLoop(r.Config("controller"), p)
	end := r.Start(r.loop.Run)
	stop = func() { _ = end() }
	r.stops = append(r.stops, stop)
	return stop
}

// states lists the members' lifecycle states in launch order.
func (r *rig) states() string {
	r.T.Helper()
	synctest.Wait()
	g, err := r.Group("g")
	r.OK(err)
	var out []string
	for _, m := range g.Members {
		out = append(out, m.Lifecycle)
	}
	return strings.Join(out, " ")
}

func (r *rig) want(when, states string) {
	r.T.Helper()
	if got := r.states(); got != states {
		r.T.Fatalf("%s: lifecycle states %q, expected %q", when, got, states)
	}
}

func (r *rig) member(i int) awssim.Instance {
	r.T.Helper()
	g, err := r.Group("g")
	r.OK(err)
	for range 10 { // at its worst AWS launches some seconds later
		if len(g.Members) > i {
			break
		}
		bubble.Sleep(time.Second)
		g, err = r.Group("g")
		r.OK(err)
	}
	in, err := r.Instance(g.Members[i].InstanceID)
	r.OK(err)
	return in
}

func (r *rig) name(in awssim.Instance) string {
	r.T.Helper()
	name, err := identity.NodeName(identity.Facts{InstanceID: in.ID, Region: "us-west-2", Zone: in.Zone, PrivateIP: in.PrivateIP}, v1alpha1.IPName)
	r.OK(err)
	return name
}

// join makes the Node of an instance; change may spoil it.
func (r *rig) join(in awssim.Instance, change func(*corev1.Node)) string {
	r.T.Helper()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: r.name(in)},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + in.Zone + "/" + in.ID},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: in.PrivateIP}},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}},
	}
	if change != nil {
		change(n)
	}
	return r.AddNode(n)
}

func (r *rig) addPod(name, node string, change func(*corev1.Pod)) {
	r.T.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node}}
	if change != nil {
		change(p)
	}
	_, err := r.Client.CoreV1().Pods("shop").Create(r.T.Context(), p, metav1.CreateOptions{})
	r.OK(err)
}

func (r *rig) pods() int {
	r.T.Helper()
	list, err := r.Client.CoreV1().Pods("shop").List(r.T.Context(), metav1.ListOptions{})
	r.OK(err)
	return len(list.Items)
}

func (r *rig) wantEvent(parts ...string) {
	r.T.Helper()
	all := r.Said()
	for _, part := range parts {
		if !strings.Contains(all, part) {
			r.T.Errorf("no event says %q:\n%s", part, all)
		}
	}
}

// effective counts the completions that AWS took.
func (r *rig) effective() int {
	n := 0
	for _, c := range r.CallsTo("autoscaling", "CompleteLifecycleAction") {
		if c.Error == "" {
			n++
		}
	}
	return n
}

// metric sums a counter or gauge over the series with a label of that value, or
// counts the observations of a histogram.
func (r *rig) metric(name, label string) (sum float64) {
	r.T.Helper()
	families, err := r.Registry.Gather()
	r.OK(err)
	for _, f := range families {
		for _, m := range f.Metric {
			hit := false
			for _, l := range m.Label {
				hit = hit || l.GetValue() == label
			}
			if f.GetName() == name && hit {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
