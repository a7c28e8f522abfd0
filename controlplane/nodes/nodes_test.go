package nodes_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/nodes"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
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

func TestDescribe(t *testing.T) {
	leaving := newNode("leaving", id, true)
	leaving.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
	control := newNode("control", id, false)
	control.Labels = map[string]string{kube.ControlPlaneLabel: ""}
	got := nodes.Describe([]*corev1.Node{leaving, control}, map[string]binding.Verdict{"leaving": {Standing: binding.Bound}})
	if len(got) != 2 || got[0].Name != "control" || !got[0].ControlPlane || got[0].Ready || !got[1].Leaving || !got[1].Ready || got[1].Verdict.Standing != binding.Bound {
		t.Errorf("got %+v", got)
	}
}

func TestPlan(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const settle = 15 * time.Second
	leaving := func(reason binding.Reason, state, cluster string) binding.Verdict {
		return binding.Verdict{Standing: binding.Leaving, Reason: reason, InstanceID: id, Instance: &fleet.Instance{ID: id, State: state, Cluster: cluster}, Message: "m"}
	}
	gone := func(state, cluster string) binding.Verdict { return leaving(binding.InstanceGone, state, cluster) }
	stopped := func(cluster string) binding.Verdict { return leaving(binding.InstanceStopped, "stopped", cluster) }
	unknown := binding.Verdict{Standing: binding.Unknown, Reason: binding.NoSuchInstance, InstanceID: id, Message: "m"}
	lie := func(proven bool) binding.Verdict {
		return binding.Verdict{Standing: binding.Impostor, Reason: binding.OtherName, InstanceID: id, Proven: proven, Instance: &fleet.Instance{ID: id, State: "running"}, Message: "m"}
	}
	for _, test := range []struct {
		name            string
		ready, reported bool
		controlPlane    bool
		verdict         binding.Verdict
		state           fleet.Lifecycle
		seen            time.Duration // how long ago it first stood so; 0: now for the first time
		want, lie       bool
	}{
		{name: "bound and silent", reported: true, verdict: binding.Verdict{Standing: binding.Bound, Reason: binding.FactsAgree}, seen: time.Hour},
		{name: "stopped by an operator", reported: true, verdict: stopped("demo"), seen: time.Hour},
		{name: "stopped in its group", reported: true, verdict: stopped("demo"), state: "InService"},
		{name: "stopped, on its way out of the pool", reported: true, verdict: stopped("demo"), state: "Pending"},
		{name: "stopped in the pool", reported: true, verdict: stopped("demo"), state: "Warmed:Stopped", want: true},
		{name: "hibernated in the pool", verdict: stopped("demo"), state: "Warmed:Hibernated", want: true},
		{name: "about to be stopped in the pool", reported: true, verdict: stopped("demo"), state: "Warmed:Pending:Proceed", want: true},
		{name: "stopped in the pool, and Ready a moment ago", ready: true, reported: true, verdict: stopped("demo"), state: "Warmed:Stopped"},
		{name: "in another cluster's pool", verdict: stopped("prod"), state: "Warmed:Stopped"},
		{name: "terminated", reported: true, verdict: gone("terminated", ""), want: true},
		{name: "terminated, and says Ready", ready: true, reported: true, verdict: gone("terminated", ""), want: true},
		{name: "shutting down", verdict: gone("shutting-down", "demo"), want: true},
		{name: "shutting down, and still Ready", ready: true, verdict: gone("shutting-down", "demo")},
		{name: "terminated, another cluster's", verdict: gone("terminated", "prod")},
		{name: "terminated, a control-plane node's", controlPlane: true, verdict: gone("terminated", "demo"), seen: time.Hour},
		{name: "unknown for the first time", reported: true, verdict: unknown},
		{name: "unknown for 14 s", reported: true, verdict: unknown, seen: 14 * time.Second},
		{name: "unknown for 15 s", reported: true, verdict: unknown, seen: 15 * time.Second, want: true},
		{name: "unknown and Ready", ready: true, reported: true, verdict: unknown, seen: time.Hour},
		{name: "unknown and never reported", verdict: unknown, seen: time.Hour},
		{name: "an impostor for the first time", ready: true, verdict: lie(true)},
		{name: "an impostor for 15 s", ready: true, verdict: lie(true), seen: settle, want: true, lie: true},
		{name: "a custom name", ready: true, verdict: lie(false), seen: time.Hour},
		{name: "a control-plane node that lies", ready: true, controlPlane: true, verdict: lie(true), seen: time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := nodes.Node{Name: "n", UID: "u", Ready: test.ready, Reported: test.reported, ControlPlane: test.controlPlane, Verdict: test.verdict}
			before := nodes.Since{}
			if test.seen > 0 {
				before["u"] = nodes.Sighting{Standing: test.verdict.Standing, Reason: test.verdict.Reason, Proven: test.verdict.Proven, At: now.Add(-test.seen)}
			}
			got, since := nodes.Plan([]nodes.Node{n}, nodes.Facts{Cluster: "demo", Settle: settle, Lifecycles: map[string]fleet.Lifecycle{id: test.state}}, before, now)
			if (len(got) == 1) != test.want {
				t.Fatalf("deletes %v", got)
			}
			if test.want && got[0].Lie != test.lie {
				t.Errorf("lie %t", got[0].Lie)
			}
			if at := since["u"].At; !at.Equal(now.Add(-test.seen)) {
				t.Errorf("stands so since %s: expected %s", at, now.Add(-test.seen))
			}
			// Another answer, or another Node of the name, starts the time anew.
			n.Verdict.Reason = binding.NotObserved
			if _, since = nodes.Plan([]nodes.Node{n}, nodes.Facts{}, since, now); !since["u"].At.Equal(now) {
				t.Error("the time goes on though the answer changed")
			}
		})
	}
}

// rig is a running janitor between a simulated AWS and an API server in memory.
type rig struct {
	*simcluster.Cluster
	*nodes.Janitor
}

func withRig(t *testing.T, test func(t *testing.T, r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{Cluster: simcluster.New(t, &awssim.World{})}
		by := r.Readers(r.Config("controller"))
		r.Janitor = nodes.NewJanitor(nodes.Deps{
			Client: r.Client, Store: by.Store, Groups: by.Fleet, Binding: by.Binder, Events: r.Events, Registry: r.Registry, Log: r.Log,
		}, nodes.Options{Cluster: simcluster.Name})
		stop := r.Start(r.Run)
		synctest.Wait()
		test(t, r)
		_ = stop()
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
	if _, err := r.Client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) want(t *testing.T, when string, want ...string) {
	t.Helper()
	synctest.Wait()
	list, err := r.Client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
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
		bubble.Sleep(2 * time.Second)
		r.Terminate(dying)
		r.Settle()
		r.Wake()
		bubble.Sleep(2 * time.Second)
		r.want(t, "after the termination", "down", "fine", "gone")
		bubble.Sleep(21 * time.Second)
		r.want(t, "after two looks", "down", "fine")
		deleted := 0
		for len(r.Events.Events) > 0 {
			if strings.HasPrefix(<-r.Events.Events, "Normal NodeDeleted ") {
				deleted++
			}
		}
		if deleted != 2 {
			t.Errorf("%d events of deletions", deleted)
		}
	})
}

// A removal ends before EC2 says that the instance is going.
func TestNodeOfARemovalGoesSoonAfterItsInstance(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		instance := r.launch(t)
		n := newNode("leaving", instance, true)
		n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		r.put(t, n)
		r.Wake()
		bubble.Sleep(33500 * time.Millisecond)
		r.want(t, "while the instance runs", "leaving")
		r.Terminate(instance)
		r.Settle()
		bubble.Sleep(time.Second)
		r.want(t, "a second after EC2 says so")
		r.ForgetCalls()
		bubble.Sleep(time.Minute)
		if calls := r.Calls(); len(calls) != 0 {
			t.Errorf("%d AWS calls in a minute in which no node is suspicious", len(calls))
		}
	})
}

func TestHangingRemovalIsLookedAtOftenForAWhileOnly(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		n := newNode("leaving", r.launch(t), true)
		n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint, Effect: corev1.TaintEffectNoSchedule}}
		r.put(t, n)
		r.Wake()
		bubble.Sleep(3 * time.Minute)
		r.ForgetCalls()
		bubble.Sleep(time.Minute)
		if calls := r.Calls(); len(calls) > 7 {
			t.Errorf("%d AWS calls in a minute, long after the removal", len(calls))
		}
	})
}

// honest is the Node that the agent on an instance makes.
func (r *rig) honest(t *testing.T, instance string) *corev1.Node {
	t.Helper()
	for _, i := range r.Instances() {
		if i.ID == instance {
			n := newNode("ip-"+strings.ReplaceAll(i.PrivateIP, ".", "-")+".us-west-2.compute.internal", instance, true)
			n.UID = types.UID("uid-of-" + instance)
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.PrivateIP}}
			return n
		}
	}
	t.Fatalf("no instance %s", instance)
	return nil
}

// TestLiarClaimsItsNeighbour: root on one worker registers its Node with the provider id
// of another instance. EC2 proves the lie: an alarm, and the Node goes. The neighbour's
// Node stays, and so does a Node that merely has a name of its own.
func TestLiarClaimsItsNeighbour(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		victim, liar, custom := r.honest(t, r.launch(t)), r.honest(t, r.launch(t)), r.honest(t, r.launch(t))
		r.put(t, victim)
		liar.Spec.ProviderID = victim.Spec.ProviderID
		r.put(t, liar)
		custom.Name = "z-worker"
		r.put(t, custom)
		bubble.Sleep(5 * time.Second)
		r.want(t, "before the answer has settled", victim.Name, liar.Name, custom.Name)
		bubble.Sleep(30 * time.Second)
		r.want(t, "when it has", victim.Name, custom.Name)
		var got []string
		for len(r.Events.Events) > 0 {
			kind, rest, _ := strings.Cut(<-r.Events.Events, " ")
			reason, _, _ := strings.Cut(rest, " ")
			got = append(got, kind+" "+reason)
		}
		slices.Sort(got)
		if want := []string{"Warning ImpostorDeleted", "Warning ImpostorNode", "Warning ImpostorNode"}; !slices.Equal(got, want) {
			t.Errorf("events %q: expected %q", got, want)
		}
	})
}

// TestLiarClaimsADeadInstance: a Node that says Ready, of an instance that EC2 ended.
func TestLiarClaimsADeadInstance(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		dead, alive := r.launch(t), r.launch(t)
		n, fine := r.honest(t, dead), r.honest(t, alive)
		r.put(t, n)
		r.put(t, fine)
		r.want(t, "while it lives", n.Name, fine.Name)
		r.Terminate(dead)
		bubble.Sleep(6 * time.Minute) // no one doubts a Node that is Ready for longer
		r.want(t, "after its end", fine.Name)
	})
}

// TestAdoptedNodesStay: what an operator recorded is no impostor, however it is called,
// until its instance is gone.
func TestAdoptedNodesStay(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		old := r.launch(t)
		n := r.honest(t, old)
		n.Name = "old-1"
		record := `{"uid":"` + string(n.UID) + `","providerID":"` + n.Spec.ProviderID + `","inEC2":true}`
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: binder.RecordsNamespace, Name: binder.RecordsName}, Data: map[string]string{"old-1": record}}
		if _, err := r.Client.CoreV1().ConfigMaps(cm.Namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(2 * time.Minute) // no answer from before the adoption is used any more
		r.put(t, n)
		bubble.Sleep(time.Hour)
		r.want(t, "after an hour", "old-1")
		if len(r.Events.Events) > 0 {
			t.Errorf("an alarm: %s", <-r.Events.Events)
		}
		r.Terminate(old)
		bubble.Sleep(6 * time.Minute)
		r.want(t, "after its end")
	})
}
