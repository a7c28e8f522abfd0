package loop_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/explain"
	"github.com/joinery/joinery/autoscaler/loop"
	"github.com/joinery/joinery/lab/awssim"
)

// fixture lives in a synctest bubble: a loop over a simulated AWS and a fake API
// server, in which the test plays scheduler, kubelets and agents.
type fixture struct {
	t       *testing.T
	aws     *awssim.World
	kube    *fake.Clientset
	events  *record.FakeRecorder
	metrics *prometheus.Registry
	loop    *loop.Loop
	removed atomic.Int32 // calls of Options.Removed
}

func newFixture(t *testing.T, w *awssim.World) *fixture {
	t.Helper()
	t.Cleanup(w.Close)
	f := &fixture{t: t, aws: w, kube: fake.NewClientset(), events: record.NewFakeRecorder(10000), metrics: prometheus.NewRegistry()}
	config := base64.StdEncoding.EncodeToString([]byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec: {cluster: demo}\n"))
	w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: config})
	c, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, endpoint: 'api:6443', approver: {stsProof: off}, autoscaler: {scaleDown: {drainTimeout: 1m}}}\n"))
	f.ok(err)
	cfg := w.Config("joinery-controller")
	f.loop, err = loop.New(loop.Options{
		Kube: f.kube, AutoScaling: autoscaling.NewFromConfig(cfg), EC2: ec2.NewFromConfig(cfg),
		Spec: c.Spec, Log: slog.New(slog.DiscardHandler), Metrics: f.metrics, Events: f.events,
		Removed: func() { f.removed.Add(1) },
	})
	f.ok(err)
	return f
}

// run runs the loop until the end of the test.
func (f *fixture) run() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	return func() {
		cancel()
		f.ok(<-done)
	}
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) group(name string, minimum, desired int, zones ...string) {
	f.t.Helper()
	f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: name, Min: minimum, Max: 10, Desired: desired, LaunchTemplate: "workers", Zones: zones,
		Tags: []awssim.Tag{{Key: "k8s.io/cluster-autoscaler/enabled"}, {Key: "k8s.io/cluster-autoscaler/demo"}}}))
}

func (f *fixture) desired(name string) int {
	f.t.Helper()
	g, err := f.aws.Group(name)
	f.ok(err)
	return g.Desired
}

// join makes a Ready Node of every instance that has none.
func (f *fixture) join() {
	f.t.Helper()
	for _, in := range f.aws.Instances() {
		if in.State != awssim.Running {
			continue
		}
		have := corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("110")}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: in.PrivateDNSName, UID: types.UID(in.ID), Labels: map[string]string{corev1.LabelHostname: in.PrivateDNSName}}}
		n.Spec.ProviderID = "aws:///" + in.Zone + "/" + in.ID
		n.Status = corev1.NodeStatus{Capacity: have, Allocatable: have, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}
		if _, err := f.kube.CoreV1().Nodes().Get(f.t.Context(), n.Name, metav1.GetOptions{}); err != nil {
			f.ok(f.kube.Tracker().Add(n))
		}
	}
}

func (f *fixture) nodes() []corev1.Node {
	f.t.Helper()
	list, err := f.kube.CoreV1().Nodes().List(f.t.Context(), metav1.ListOptions{})
	f.ok(err)
	return list.Items
}

// report has every agent say whether its node may go.
func (f *fixture) report(status corev1.ConditionStatus, reason v1alpha1.ReadyReason) {
	f.t.Helper()
	for _, n := range f.nodes() {
		n.Status.Conditions = append(n.Status.Conditions[:1:1], corev1.NodeCondition{
			Type: v1alpha1.ScaleDownReady, Status: status, Reason: string(reason),
			LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
		})
		_, err := f.kube.CoreV1().Nodes().UpdateStatus(f.t.Context(), &n, metav1.UpdateOptions{})
		f.ok(err)
	}
}

// pend adds n pods that the scheduler found no node for.
func (f *fixture) pend(n int, name, cpu, memory string) {
	f.t.Helper()
	for i := range n {
		yes := true
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%d", name, i), UID: types.UID(fmt.Sprintf("%s-%d", name, i)),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: types.UID(name), Controller: &yes}}}}
		p.Spec.Containers = []corev1.Container{{Name: "c", Image: "app", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)}}}}
		p.Spec.SchedulerName = corev1.DefaultSchedulerName
		p.Status.Phase = corev1.PodPending
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		f.ok(f.kube.Tracker().Add(p))
	}
}

// schedule runs every pending pod, four on each node.
func (f *fixture) schedule() {
	f.t.Helper()
	pods, err := f.kube.CoreV1().Pods("default").List(f.t.Context(), metav1.ListOptions{})
	f.ok(err)
	nodes := f.nodes()
	for i, p := range pods.Items {
		p.Spec.NodeName = nodes[i/4].Name
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, nil
		_, err := f.kube.CoreV1().Pods("default").Update(f.t.Context(), &p, metav1.UpdateOptions{})
		f.ok(err)
	}
}

func (f *fixture) deletePods() {
	f.t.Helper()
	pods, err := f.kube.CoreV1().Pods("default").List(f.t.Context(), metav1.ListOptions{})
	f.ok(err)
	for _, p := range pods.Items {
		f.ok(f.kube.CoreV1().Pods("default").Delete(f.t.Context(), p.Name, metav1.DeleteOptions{}))
	}
}

// eventsWith returns how many events held the text, and forgets all events.
func (f *fixture) eventsWith(text string) int {
	n := 0
	for len(f.events.Events) > 0 {
		if strings.Contains(<-f.events.Events, text) {
			n++
		}
	}
	return n
}

func (f *fixture) decisions() []explain.Decision {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.loop.Decisions().ServeHTTP(w, httptest.NewRequest("GET", "/debug/decisions", nil))
	var out []explain.Decision
	f.ok(json.Unmarshal(w.Body.Bytes(), &out))
	return out
}

// latency returns the count and sum of pending_to_desired_seconds.
func (f *fixture) latency() (count uint64, sum float64) {
	f.t.Helper()
	families, err := f.metrics.Gather()
	f.ok(err)
	for _, m := range families {
		if m.GetName() == "joinery_autoscaler_pending_to_desired_seconds" {
			h := m.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	return 0, 0
}

// settle lets the loop work for a while of the bubble's time.
func settle(d time.Duration) { time.Sleep(d) }
