package loop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

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
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/simcluster"
)

// fixture lives in a synctest bubble: a loop over a simulated AWS and a fake API
// server, in which the test plays scheduler, kubelets and agents.
type fixture struct {
	t       *testing.T
	cluster *simcluster.Cluster
	aws     *awssim.World
	kube    *fake.Clientset
	events  *record.FakeRecorder
	metrics *prometheus.Registry
	loop    *loop.Loop
	removed atomic.Int32 // calls of Options.Removed
}

func newFixture(t *testing.T, w *awssim.World) *fixture {
	t.Helper()
	return newFixtureWith(t, w, "scaleDown: {drainTimeout: 1m}")
}

// newFixtureWith is newFixture with the autoscaler's settings.
func newFixtureWith(t *testing.T, w *awssim.World, settings string) *fixture {
	t.Helper()
	sim := simcluster.New(t, w)
	f := &fixture{t: t, cluster: sim, aws: w, kube: sim.Client, events: sim.Events, metrics: sim.Registry}
	f.putTemplate("workers", "t3.medium")
	f.lead(settings)
	return f
}

// lead makes the loop of a controller that begins to lead.
func (f *fixture) lead(settings string) {
	f.t.Helper()
	w, sim := f.aws, f.cluster
	c, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, endpoint: 'api:6443', approver: {stsProof: off}, autoscaler: {" + settings + "}}\n"))
	f.ok(err)
	cfg := w.Config("joinery-controller")
	rules := binding.Rules{Cluster: simcluster.Name, Region: cfg.Region, VPC: w.VPCID, Mode: v1alpha1.IPName}
	by := sim.ReadersIn(cfg, rules, fleet.ScopeOf(c.Spec))
	f.loop, err = loop.New(loop.Options{
		Kube: f.kube, AutoScaling: by.AutoScaling, EC2: by.EC2, Fleet: by.Fleet, Store: by.Store, Binder: sim.Binder(by.Fleet, rules, sim.Listed),
		Templates: launch.NewTemplates(by.EC2),
		Spec:      c.Spec, Log: sim.Log, Metrics: f.metrics, Events: f.events,
		Removed: func() { f.removed.Add(1) },
	})
	f.ok(err)
}

func (f *fixture) putTemplate(name, instanceType string) {
	f.aws.PutLaunchTemplate(name, awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: instanceType, UserData: simcluster.UserData()})
}

// run runs the loop until the end of the test.
func (f *fixture) run() (stop func()) {
	end := f.cluster.Start(f.loop.Run)
	return func() {
		if err := end(); !errors.Is(err, context.Canceled) {
			f.t.Fatal(err)
		}
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
	f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: name, Min: minimum, Max: 10, Desired: desired, LaunchTemplate: "workers", Zones: zones, Tags: simcluster.Tags()}))
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
		n := simcluster.NodeOf(in)
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
		event := <-f.events.Events
		if simcluster.Garbled(event) {
			f.t.Errorf("a text that was put together wrongly: %s", event)
		}
		if strings.Contains(event, text) {
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
