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
		before   nodes.Unknown
		want     bool
	}{
		{"running", true, is("running", "demo"), nil, false},
		{"stopped comes back", true, is("stopped", "demo"), nil, false},
		{"terminated", true, is("terminated", ""), nil, true},
		{"shutting down", false, is("shutting-down", "demo"), nil, true},
		{"terminated, another cluster's", false, is("terminated", "prod"), nil, false},
		{"unknown for the first time", true, nil, nil, false},
		{"unknown for 14 s", true, nil, nodes.Unknown{id: now.Add(-14 * time.Second)}, false},
		{"unknown for 15 s", true, nil, nodes.Unknown{id: now.Add(-15 * time.Second)}, true},
		{"unknown and never reported", false, nil, nodes.Unknown{id: now.Add(-time.Hour)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := []nodes.Suspect{{Name: "n", UID: "u", InstanceID: id, Reported: test.reported}}
			got, unknown := nodes.Plan(s, test.found, test.before, "demo", now, 15*time.Second)
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
	if _, unknown := nodes.Plan(s, found, nodes.Unknown{id: now.Add(-time.Hour)}, "demo", now, time.Second); len(unknown) != 0 {
		t.Errorf("remembers %v", unknown)
	}
}

func TestJanitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		dying, err := w.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		if err != nil {
			t.Fatal(err)
		}
		down, err := w.AddInstance(awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}})
		if err != nil {
			t.Fatal(err)
		}
		client := fake.NewClientset(newNode("dying", dying.ID, false), newNode("down", down.ID, false), newNode("gone", id, false), newNode("fine", down.ID, true))
		cfg := w.Config("controller")
		events := record.NewFakeRecorder(10)
		j := nodes.NewJanitor(nodes.Deps{
			Nodes: client.CoreV1().Nodes(), Finder: instances.NewReader(ec2.NewFromConfig(cfg), autoscaling.NewFromConfig(cfg)),
			Events: events, Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
		}, nodes.Options{Cluster: "demo"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		names := func() (out []string) {
			synctest.Wait()
			list, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range list.Items {
				out = append(out, n.Name)
			}
			return out
		}
		if got := names(); len(got) != 4 {
			t.Errorf("at once %q: nothing is proven yet", got)
		}
		w.Terminate(dying.ID)
		j.Wake()
		if got, want := names(), []string{"down", "fine", "gone"}; !slices.Equal(got, want) {
			t.Errorf("after the termination %q: expected %q", got, want)
		}
		time.Sleep(21 * time.Second)
		if got, want := names(), []string{"down", "fine"}; !slices.Equal(got, want) {
			t.Errorf("after two looks %q: expected %q", got, want)
		}
		if len(events.Events) != 2 {
			t.Errorf("%d events", len(events.Events))
		}
		cancel()
		<-done
	})
}
