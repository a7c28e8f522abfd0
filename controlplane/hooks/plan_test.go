package hooks_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/internal/fleet"
)

const (
	id       = "i-0123456789abcdef0"
	nodeName = "ip-10-0-0-9.us-west-2.compute.internal"
)

var policy = hooks.Policy{
	Cluster: "demo", Region: "us-west-2", Mode: v1alpha1.IPName,
	Lifecycle: v1alpha1.LifecycleSettings{
		LaunchHook: "up", TerminateHook: "down",
		JoinTimeout: metav1.Duration{Duration: 15 * time.Minute}, WarmUp: metav1.Duration{Duration: time.Minute}, DrainTimeout: metav1.Duration{Duration: 10 * time.Minute},
	},
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// joining is an instance that was launched two minutes ago, is known for one and
// was sent a heartbeat ten seconds ago.
func joining(change func(*hooks.Held)) hooks.Held {
	h := hooks.Held{
		Group: "g", Hook: hooks.Hook{Name: "up", Heartbeat: time.Minute, Global: 100 * time.Minute},
		State: "Pending:Wait", Phase: hooks.Joining, InstanceID: id, First: ago(time.Minute), Beat: ago(10 * time.Second),
		Instance: &fleet.Instance{ID: id, State: "running", PrivateIP: "10.0.0.9", Zone: "us-west-2a", LaunchTime: ago(2 * time.Minute)},
		Nodes:    []hooks.Node{{Name: nodeName, UID: "u", Bound: true, Ready: true, ReadyAt: ago(5 * time.Second)}},
	}
	if change != nil {
		change(&h)
	}
	return h
}

func warming(change func(*hooks.Held)) hooks.Held {
	return joining(func(h *hooks.Held) {
		h.State, h.Phase, h.Nodes = "Warmed:Pending:Wait", hooks.Warming, nil
		change(h)
	})
}

// draining is an instance whose marked Node has one pod left.
func draining(change func(*hooks.Held)) hooks.Held {
	return joining(func(h *hooks.Held) {
		h.Hook.Name, h.State, h.Phase = "down", "Terminating:Wait", hooks.Draining
		h.Nodes[0].Marked, h.Nodes[0].DrainingSince = true, ago(50*time.Second)
		h.Nodes[0].Pods = []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", UID: "p"}}}
		change(h)
	})
}

type planCase struct {
	name   string
	held   hooks.Held
	action hooks.Action
	reason hooks.Reason
	says   string
	again  time.Duration
}

func check(t *testing.T, cases []planCase) {
	t.Helper()
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			d := hooks.Plan([]hooks.Held{test.held}, now, policy)[0]
			if d.Action != test.action || d.Reason != test.reason || !strings.Contains(d.Message, test.says) {
				t.Errorf("%s %s (%s): expected %s %s (%s)", d.Action, d.Reason, d.Message, test.action, test.reason, test.says)
			}
			if test.again != 0 && d.Again != test.again {
				t.Errorf("looks again in %s: expected %s", d.Again, test.again)
			}
		})
	}
}

func TestPlanJoining(t *testing.T) {
	node := func(change func(*hooks.Node)) hooks.Held {
		return joining(func(h *hooks.Held) { change(&h.Nodes[0]) })
	}
	none := func(change func(*hooks.Held)) hooks.Held {
		return joining(func(h *hooks.Held) { h.Nodes = nil; change(h) })
	}
	check(t, []planCase{
		{"Ready", joining(nil), hooks.Continue, hooks.Joined, nodeName, 0},
		{"Ready although late", joining(func(h *hooks.Held) { h.Instance.LaunchTime = ago(time.Hour) }), hooks.Continue, hooks.Joined, "", 0},
		{"no Node", none(func(*hooks.Held) {}), hooks.Wait, hooks.NoNode, nodeName, 10 * time.Second},
		{"not Ready", node(func(n *hooks.Node) { n.Ready = false }), hooks.Wait, hooks.NotReady, "", 0},
		{"Ready with the taint", node(func(n *hooks.Node) { n.Tainted = true }), hooks.Wait, hooks.NotReady, "not-ready", 0},
		{"Ready before it was started again", node(func(n *hooks.Node) { n.ReadyAt = ago(3 * time.Minute) }), hooks.Wait, hooks.NotReady, "before", 0},
		{"never said that it is Ready", node(func(n *hooks.Node) { n.ReadyAt = time.Time{} }), hooks.Wait, hooks.NotReady, "", 0},
		{"marked for removal", node(func(n *hooks.Node) { n.Marked = true }), hooks.Wait, hooks.Leaving, "", 0},
		{"an impostor", node(func(n *hooks.Node) { n.Name, n.Bound, n.Standing = "rogue", false, "its name is another's" }), hooks.Wait, hooks.NotBound, "Node rogue claims the instance, and is not it: its name is another's", 0},
		{"a rogue beside it", joining(func(h *hooks.Held) { h.Nodes = append([]hooks.Node{{Name: "a-rogue"}}, h.Nodes...) }), hooks.Continue, hooks.Joined, nodeName, 0},
		{"EC2 does not know it", joining(func(h *hooks.Held) { h.Instance = nil }), hooks.Wait, hooks.NotKnown, "", 0},
		{"no address yet", joining(func(h *hooks.Held) { h.Instance.PrivateIP = "" }), hooks.Wait, hooks.NotKnown, "", 0},
		{"EC2 does not answer", joining(func(h *hooks.Held) { h.Blind = errors.New("down") }), hooks.Wait, hooks.NotKnown, "down", 0},
		{"EC2 does not answer, heartbeat due", joining(func(h *hooks.Held) { h.Blind, h.Beat = errors.New("down"), time.Time{} }), hooks.Heartbeat, hooks.NotKnown, "", 0},
		{"EC2 does not answer for too long", joining(func(h *hooks.Held) { h.Blind, h.Beat, h.First = errors.New("down"), time.Time{}, ago(time.Hour) }), hooks.Wait, hooks.NotKnown, "", 0},
		{"terminated", joining(func(h *hooks.Held) { h.Instance.State = "terminated" }), hooks.Abandon, hooks.InstanceGone, "terminated", 0},
		{"stopped a minute", none(func(h *hooks.Held) { h.Instance.State = "stopped" }), hooks.Abandon, hooks.InstanceStopped, "", 0},
		{"said to be stopped when it left the pool", none(func(h *hooks.Held) { h.Instance.State, h.First = "stopped", ago(time.Second) }), hooks.Wait, hooks.NoNode, "", 0},
		{"too late", none(func(h *hooks.Held) { h.Instance.LaunchTime = ago(15 * time.Minute) }), hooks.Abandon, hooks.JoinTimeout, "there is no Node", 0},
		{"too late, under a wrong name", joining(func(h *hooks.Held) {
			h.Nodes[0].Name, h.Nodes[0].Bound = "rogue", false
			h.Instance.LaunchTime = ago(15 * time.Minute)
		}), hooks.Abandon, hooks.JoinTimeout, "rogue", 0},
		{"one second left", none(func(h *hooks.Held) { h.Instance.LaunchTime = ago(15*time.Minute - time.Second) }), hooks.Wait, hooks.NoNode, "", time.Second},
		{"long launched, just out of a running pool", none(func(h *hooks.Held) { h.RunningPool = true; h.Instance.LaunchTime = ago(24 * time.Hour) }), hooks.Wait, hooks.NoNode, "", 0},
		{"out of a running pool for too long", none(func(h *hooks.Held) { h.RunningPool, h.First = true, ago(15*time.Minute) }), hooks.Abandon, hooks.JoinTimeout, "", 0},
		{"at first sight", none(func(h *hooks.Held) { h.Beat = time.Time{} }), hooks.Heartbeat, hooks.NoNode, "", 0},
		{"half of the timeout left", none(func(h *hooks.Held) { h.Beat = ago(30 * time.Second) }), hooks.Heartbeat, hooks.NoNode, "", 0},
		{"heartbeat due in 4 s", none(func(h *hooks.Held) { h.Beat = ago(26 * time.Second) }), hooks.Wait, hooks.NoNode, "", 4 * time.Second},
		{"beyond what heartbeats can do", none(func(h *hooks.Held) {
			h.RunningPool, h.Hook.Global, h.Beat, h.First = true, 5*time.Minute, ago(30*time.Second), ago(5*time.Minute)
		}), hooks.Wait, hooks.NoNode, "", 0},
		{"no heartbeat for what does not run", none(func(h *hooks.Held) { h.Instance.State, h.Beat, h.First = "stopped", time.Time{}, now }), hooks.Wait, hooks.NoNode, "", 0},
	})
}

func TestPlanTakesOnlyOurMarkOffANodeThatReturns(t *testing.T) {
	for _, since := range []time.Time{{}, ago(time.Hour)} {
		d := hooks.Plan([]hooks.Held{joining(func(h *hooks.Held) { h.Nodes[0].Marked, h.Nodes[0].DrainingSince = true, since })}, now, policy)[0]
		if (d.Clear != nil) == since.IsZero() {
			t.Errorf("marked by us since %s: clears %v", since, d.Clear)
		}
	}
}

func TestPlanWarming(t *testing.T) {
	check(t, []planCase{
		{"ran for a minute", warming(func(h *hooks.Held) { h.Instance.LaunchTime = ago(time.Minute) }), hooks.Continue, hooks.WarmedUp, "", 0},
		{"ran for less", warming(func(h *hooks.Held) { h.Instance.LaunchTime = ago(57 * time.Second) }), hooks.Wait, hooks.WarmingUp, "", 3 * time.Second},
		{"heartbeat due", warming(func(h *hooks.Held) { h.Instance.LaunchTime, h.Beat = ago(57*time.Second), time.Time{} }), hooks.Heartbeat, hooks.WarmingUp, "", 0},
		{"not running yet", warming(func(h *hooks.Held) { h.Instance.State = "pending" }), hooks.Wait, hooks.WarmingUp, "pending", 0},
		{"never abandoned for being late", warming(func(h *hooks.Held) { h.Instance.State, h.Instance.LaunchTime = "pending", ago(time.Hour) }), hooks.Wait, hooks.WarmingUp, "", 0},
		{"gone", warming(func(h *hooks.Held) { h.Instance.State = "shutting-down" }), hooks.Abandon, hooks.InstanceGone, "", 0},
		{"EC2 does not know it", warming(func(h *hooks.Held) { h.Instance = nil }), hooks.Wait, hooks.NotKnown, "", 0},
	})
}

func TestPlanDraining(t *testing.T) {
	free := func(change func(*hooks.Held)) hooks.Held {
		return draining(func(h *hooks.Held) { h.Nodes[0].Pods = nil; change(h) })
	}
	check(t, []planCase{
		{"a pod is left", draining(func(*hooks.Held) {}), hooks.Wait, hooks.Moving, "shop/cart", 10 * time.Second},
		{"a pod is left, heartbeat due", draining(func(h *hooks.Held) { h.Beat = time.Time{} }), hooks.Heartbeat, hooks.Moving, "", 0},
		{"drained", free(func(*hooks.Held) {}), hooks.Continue, hooks.Drained, "", 0},
		{"drained by the autoscaler", free(func(h *hooks.Held) { h.Nodes[0].DrainingSince = time.Time{} }), hooks.Continue, hooks.Drained, "", 0},
		{"empty but not marked: a pod may come", free(func(h *hooks.Held) { h.Nodes[0].Marked = false }), hooks.Wait, hooks.Moving, "", time.Second},
		{"marked a moment ago", free(func(h *hooks.Held) { h.Nodes[0].DrainingSince = ago(500 * time.Millisecond) }), hooks.Wait, hooks.Moving, "", time.Second},
		{"no Node", draining(func(h *hooks.Held) { h.Nodes = nil }), hooks.Continue, hooks.NoNode, "", 0},
		{"gone", draining(func(h *hooks.Held) { h.Instance.State = "terminated" }), hooks.Continue, hooks.InstanceGone, "", 0},
		{"stopped", draining(func(h *hooks.Held) { h.Instance.State = "stopped" }), hooks.Continue, hooks.InstanceStopped, "", 0},
		{"EC2 does not know it", draining(func(h *hooks.Held) { h.Instance = nil }), hooks.Wait, hooks.Moving, "", 0},
		{"pods cannot be read", free(func(h *hooks.Held) { h.Blind = errors.New("down") }), hooks.Wait, hooks.NotKnown, "", 0},
		{"out of time", draining(func(h *hooks.Held) { h.First = ago(10 * time.Minute) }), hooks.Continue, hooks.DrainTimeout, "shop/cart", 0},
		{"out of time by an earlier leader's mark", draining(func(h *hooks.Held) { h.Nodes[0].DrainingSince = ago(10 * time.Minute) }), hooks.Continue, hooks.DrainTimeout, "", 0},
		{"a mark of the future buys no time", draining(func(h *hooks.Held) { h.First = ago(10 * time.Minute); h.Nodes[0].DrainingSince = now.Add(time.Hour) }), hooks.Continue, hooks.DrainTimeout, "", 0},
		{"the hook's own end", draining(func(h *hooks.Held) { h.First, h.Hook.Global = ago(4*time.Minute+30*time.Second), 5*time.Minute }), hooks.Continue, hooks.DrainTimeout, "", 0},
		{"a rogue with pods holds nothing up", free(func(h *hooks.Held) {
			h.Nodes = append(h.Nodes, hooks.Node{Name: "rogue", Pods: []*corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}}})
		}), hooks.Continue, hooks.Drained, "", 0},
		{"a Node of another name is the only one", draining(func(h *hooks.Held) { h.Nodes[0].Name = "odd" }), hooks.Wait, hooks.Moving, "Node odd", 0},
	})
}

func TestPlanDrainsWhatItWaitsFor(t *testing.T) {
	d := hooks.Plan([]hooks.Held{draining(func(h *hooks.Held) { h.Nodes = append(h.Nodes, hooks.Node{Name: "rogue"}) })}, now, policy)[0]
	if len(d.Drain) != 1 || d.Drain[0].Name != nodeName {
		t.Errorf("drains %v", d.Drain)
	}
}

func TestPlanWarns(t *testing.T) {
	for name, test := range map[string]struct {
		held hooks.Held
		want bool
	}{
		"joined":        {joining(nil), false},
		"wrong name":    {joining(func(h *hooks.Held) { h.Nodes[0].Name, h.Nodes[0].Bound = "rogue", false }), true},
		"join timeout":  {joining(func(h *hooks.Held) { h.Nodes, h.Instance.LaunchTime = nil, ago(time.Hour) }), true},
		"drained":       {draining(func(h *hooks.Held) { h.Nodes[0].Pods = nil }), false},
		"drain timeout": {draining(func(h *hooks.Held) { h.First = ago(time.Hour) }), true},
	} {
		if d := hooks.Plan([]hooks.Held{test.held}, now, policy)[0]; d.Warn != test.want {
			t.Errorf("%s: warns %t", name, d.Warn)
		}
	}
}
