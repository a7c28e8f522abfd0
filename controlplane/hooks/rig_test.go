package hooks_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/agent/identity"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// rig is one group "g" with both hooks in a simulated AWS, and an API server in
// memory. It lives in a synctest bubble.
type rig struct {
	*awssim.World
	t       *testing.T
	asg     *autoscaling.Client
	client  *fake.Clientset
	events  *record.FakeRecorder
	reg     *prometheus.Registry
	loop    *hooks.Loop // the one that was started last
	blocked atomic.Bool // evictions answer 429
	stops   []func()
}

// managed are the tags of a group of the cluster demo.
func managed() []awssim.Tag {
	return []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/demo"}, {Key: v1alpha1.ClusterTag, Value: "demo", Propagate: true}}
}

func withRig(t *testing.T, spec awssim.GroupSpec, test func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{
			World: &awssim.World{Timing: awssim.Timing{Boot: 5 * time.Second, Proceed: 3 * time.Second}},
			t:     t, client: fake.NewClientset(), events: record.NewFakeRecorder(1000),
		}
		defer r.Close()
		r.asg = autoscaling.NewFromConfig(r.Config("operator"))
		role, err := iam.Controller(iam.Values{Partition: r.Partition(), Region: r.Region, Account: r.AccountID, Cluster: "demo", KMSKeyARN: "arn:aws:kms:us-west-2:123456789012:key/k"})
		r.ok(err)
		r.ok(r.AttachPolicy("controller", role))
		extra, err := iam.Queue(iam.Values{Partition: r.Partition(), Region: r.Region, Account: r.AccountID, Cluster: "demo", KMSKeyARN: "arn:aws:kms:us-west-2:123456789012:key/k"}, "events")
		r.ok(err)
		r.ok(r.AttachPolicy("controller", extra))
		r.client.PrependReactor("create", "pods", r.evict)
		r.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
		spec.Name, spec.LaunchTemplate, spec.Max = "g", "nodes", 5
		if spec.Tags == nil {
			spec.Tags = managed()
		}
		desired := spec.Desired
		spec.Desired = 0
		r.ok(r.PutGroup(spec))
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

func (r *rig) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) putHook(name, transition string, heartbeat int32) {
	r.t.Helper()
	_, err := r.asg.PutLifecycleHook(r.t.Context(), &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: aws.String("g"), LifecycleHookName: &name, LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition),
		HeartbeatTimeout: &heartbeat, DefaultResult: aws.String("ABANDON"),
	})
	r.ok(err)
}

func (r *rig) setDesired(n int) {
	r.t.Helper()
	_, err := r.asg.SetDesiredCapacity(r.t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("g"), DesiredCapacity: aws.Int32(int32(n))})
	r.ok(err)
}

func (r *rig) terminate(id string) {
	r.t.Helper()
	_, err := r.asg.TerminateInstanceInAutoScalingGroup(r.t.Context(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	r.ok(err)
}

// newLoop returns a loop that talks to AWS with cfg.
func (r *rig) newLoop(cfg aws.Config, p hooks.Policy) *hooks.Loop {
	groups := autoscaling.NewFromConfig(cfg)
	r.reg = prometheus.NewRegistry()
	return hooks.NewLoop(hooks.Deps{
		Client: r.client, Finder: instances.NewReader(ec2.NewFromConfig(cfg), groups), AutoScaling: groups,
		Events: r.events, Registry: r.reg, Log: slog.New(slog.DiscardHandler),
	}, p)
}

// start runs a loop until the test ends or stop is called.
func (r *rig) start(p hooks.Policy) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	l := r.newLoop(r.Config("controller"), p)
	r.loop = l
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	r.stops = append(r.stops, stop)
	return stop
}

// states lists the members' lifecycle states in launch order.
func (r *rig) states() string {
	r.t.Helper()
	synctest.Wait()
	g, err := r.Group("g")
	r.ok(err)
	var out []string
	for _, m := range g.Members {
		out = append(out, m.Lifecycle)
	}
	return strings.Join(out, " ")
}

func (r *rig) want(when, states string) {
	r.t.Helper()
	if got := r.states(); got != states {
		r.t.Fatalf("%s: lifecycle states %q, expected %q", when, got, states)
	}
}

func (r *rig) member(i int) awssim.Instance {
	r.t.Helper()
	g, err := r.Group("g")
	r.ok(err)
	in, err := r.Instance(g.Members[i].InstanceID)
	r.ok(err)
	return in
}

func (r *rig) name(in awssim.Instance) string {
	r.t.Helper()
	name, err := identity.NodeName(identity.Facts{InstanceID: in.ID, Region: "us-west-2", Zone: in.Zone, PrivateIP: in.PrivateIP}, v1alpha1.IPName)
	r.ok(err)
	return name
}

// join makes the Node of an instance; change may spoil it.
func (r *rig) join(in awssim.Instance, change func(*corev1.Node)) string {
	r.t.Helper()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: r.name(in)},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///" + in.Zone + "/" + in.ID},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}},
	}
	if change != nil {
		change(n)
	}
	n.UID = types.UID("uid-" + n.Name)
	_, err := r.client.CoreV1().Nodes().Create(r.t.Context(), n, metav1.CreateOptions{})
	r.ok(err)
	return n.Name
}

func (r *rig) node(name string) *corev1.Node {
	r.t.Helper()
	n, err := r.client.CoreV1().Nodes().Get(r.t.Context(), name, metav1.GetOptions{})
	r.ok(err)
	return n
}

func (r *rig) change(name string, change func(*corev1.Node)) {
	r.t.Helper()
	n := r.node(name)
	change(n)
	_, err := r.client.CoreV1().Nodes().Update(r.t.Context(), n, metav1.UpdateOptions{})
	r.ok(err)
}

func (r *rig) addPod(name, node string, change func(*corev1.Pod)) {
	r.t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node}}
	if change != nil {
		change(p)
	}
	_, err := r.client.CoreV1().Pods("shop").Create(r.t.Context(), p, metav1.CreateOptions{})
	r.ok(err)
}

func (r *rig) pods() int {
	r.t.Helper()
	list, err := r.client.CoreV1().Pods("shop").List(r.t.Context(), metav1.ListOptions{})
	r.ok(err)
	return len(list.Items)
}

// evict is the API server's eviction: it refuses, or the pod is gone.
func (r *rig) evict(a clienttesting.Action) (bool, runtime.Object, error) {
	create, ok := a.(clienttesting.CreateAction)
	if !ok || a.GetSubresource() != "eviction" {
		return false, nil, nil
	}
	if r.blocked.Load() {
		return true, nil, apierrors.NewTooManyRequests("the disruption budget cart needs 1 healthy pods", 0)
	}
	e := create.GetObject().(*policyv1.Eviction)
	return true, nil, r.client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), e.Namespace, e.Name)
}

// said returns the events so far.
func (r *rig) said() string {
	var out []string
	for {
		select {
		case e := <-r.events.Events:
			out = append(out, e)
		default:
			return strings.Join(out, "\n")
		}
	}
}

func (r *rig) wantEvent(parts ...string) {
	r.t.Helper()
	all := r.said()
	for _, part := range parts {
		if !strings.Contains(all, part) {
			r.t.Errorf("no event says %q:\n%s", part, all)
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
	r.t.Helper()
	families, err := r.reg.Gather()
	r.ok(err)
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
