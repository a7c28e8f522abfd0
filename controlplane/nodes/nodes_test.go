package nodes_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/instances"
	"github.com/joinery/joinery/controlplane/nodes"
	"github.com/joinery/joinery/lab/awssim"
)

const id = "i-0123456789abcdef0"

func newNode(name, instanceID string, ready bool) *corev1.Node {
	status := corev1.ConditionFalse
	if ready {
		status = corev1.ConditionTrue
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u", Annotations: map[string]string{v1alpha1.NodeReportAnnotation: "{}"}},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///us-west-2a/" + instanceID},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}}},
	}
}

func TestSuspects(t *testing.T) {
	leaving := newNode("leaving", id, true)
	leaving.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule}}
	master := newNode("master", id, false)
	master.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""}
	elsewhere := newNode("elsewhere", id, false)
	elsewhere.Spec.ProviderID = "gce://x/y/z"
	var got []string
	for _, s := range nodes.Suspects([]*corev1.Node{newNode("ready", id, true), newNode("down", id, false), leaving, master, elsewhere}) {
		got = append(got, s.Name)
	}
	if want := []string{"down", "leaving"}; !slices.Equal(got, want) {
		t.Errorf("got %q: expected %q", got, want)
	}
}

func TestPlan(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	is := func(state, cluster string) []instances.Instance {
		return []instances.Instance{{ID: id, State: state, Cluster: cluster}}
	}
	for _, test := range []struct {
		name     string
		reported bool
		found    []instances.Instance
		state    string // lifecycle state
		before   nodes.Unknown
		want     bool
	}{
		{"running", true, is("running", "demo"), "InService", nil, false},
		{"stopped comes back", true, is("stopped", "demo"), "", nil, false},
		{"stopped in its group", true, is("stopped", "demo"), "InService", nil, false},
		{"stopped, on its way out of the pool", true, is("stopped", "demo"), "Pending", nil, false},
		{"stopped in the pool", true, is("stopped", "demo"), "Warmed:Stopped", nil, true},
		{"hibernated in the pool", false, is("stopped", "demo"), "Warmed:Hibernated", nil, true},
		{"about to be stopped in the pool", true, is("stopping", "demo"), "Warmed:Pending:Proceed", nil, true},
		{"running in the pool", true, is("running", "demo"), "Warmed:Running", nil, false},
		{"in another cluster's pool", false, is("stopped", "prod"), "Warmed:Stopped", nil, false},
		{"terminated", true, is("terminated", ""), "", nil, true},
		{"shutting down", false, is("shutting-down", "demo"), "", nil, true},
		{"terminated, another cluster's", false, is("terminated", "prod"), "", nil, false},
		{"unknown for the first time", true, nil, "", nil, false},
		{"unknown for 14 s", true, nil, "", nodes.Unknown{id: now.Add(-14 * time.Second)}, false},
		{"unknown for 15 s", true, nil, "", nodes.Unknown{id: now.Add(-15 * time.Second)}, true},
		{"unknown and never reported", false, nil, "", nodes.Unknown{id: now.Add(-time.Hour)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := []nodes.Suspect{{Name: "n", UID: "u", InstanceID: id, Reported: test.reported}}
			got, unknown := nodes.Plan(s, nodes.Facts{Found: test.found, Lifecycles: map[string]string{id: test.state}}, test.before, "demo", now, 15*time.Second)
			if (len(got) == 1) != test.want {
				t.Errorf("deletes %v", got)
			}
			if since := test.before[id]; !since.IsZero() && test.reported && !unknown[id].Equal(since) {
				t.Errorf("forgot that the instance is unknown since %s: %s", since, unknown[id])
			}
		})
	}
}

func TestPlanForgetsInstancesThatShowAgain(t *testing.T) {
	now := time.Now()
	s := []nodes.Suspect{{Name: "n", InstanceID: id, Reported: true}}
	found := []instances.Instance{{ID: id, State: "running"}}
	if _, unknown := nodes.Plan(s, nodes.Facts{Found: found}, nodes.Unknown{id: now.Add(-time.Hour)}, "demo", now, time.Second); len(unknown) != 0 {
		t.Errorf("remembers %v", unknown)
	}
}

// rig is a running janitor between a simulated AWS and an API server in memory.
type rig struct {
	*awssim.World
	*nodes.Janitor
	client *fake.Clientset
	events *record.FakeRecorder
}

func withRig(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{World: &awssim.World{}, client: fake.NewClientset(), events: record.NewFakeRecorder(1000)}
		defer r.Close()
		cfg := r.Config("controller")
		r.Janitor = nodes.NewJanitor(nodes.Deps{
			Client: r.client, Finder: instances.NewReader(ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)),
			Events: r.events, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		}, nodes.Options{Cluster: "demo"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		test(t, r)
		cancel()
		<-done
	})
}

func (r *rig) launch(t *testing.T) string {
	t.Helper()
	i, err := r.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
	if err != nil {
		t.Fatal(err)
	}
	return i.ID
}

func (r *rig) put(t *testing.T, n *corev1.Node) {
	t.Helper()
	if _, err := r.client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) want(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	list, err := r.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range list.Items {
		got = append(got, n.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: nodes %q: expected %q", when, got, want)
	}
}

func TestJanitor(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		dying, down := r.launch(t), r.launch(t)
		r.put(t, newNode("dying", dying, false))
		r.put(t, newNode("down", down, false))
		r.put(t, newNode("fine", down, true))
		r.put(t, newNode("gone", id, false))
		r.Wake()
		r.want(t, "at once, when nothing is proven", "down", "dying", "fine", "gone")
		r.Terminate(dying)
		r.Wake()
		r.want(t, "after the termination", "down", "fine", "gone")
		time.Sleep(21 * time.Second)
		r.want(t, "after two looks", "down", "fine")
		if len(r.events.Events) != 2 {
			t.Errorf("%d events", len(r.events.Events))
		}
	})
}

// A removal ends before EC2 says that the instance is going.
func TestNodeOfARemovalGoesSoonAfterItsInstance(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		instance := r.launch(t)
		n := newNode("leaving", instance, true)
		n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule}}
		r.put(t, n)
		r.Wake()
		time.Sleep(33500 * time.Millisecond)
		r.want(t, "while the instance runs", "leaving")
		r.Terminate(instance)
		time.Sleep(time.Second)
		r.want(t, "a second after EC2 says so")
		r.ForgetCalls()
		time.Sleep(time.Minute)
		if calls := r.Calls(); len(calls) != 0 {
			t.Errorf("%d AWS calls in a minute in which no node is suspicious", len(calls))
		}
	})
}

func TestHangingRemovalIsLookedAtOftenForAWhileOnly(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		n := newNode("leaving", r.launch(t), true)
		n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule}}
		r.put(t, n)
		r.Wake()
		time.Sleep(3 * time.Minute)
		r.ForgetCalls()
		time.Sleep(time.Minute)
		if calls := r.Calls(); len(calls) > 7 {
			t.Errorf("%d AWS calls in a minute, long after the removal", len(calls))
		}
	})
}
