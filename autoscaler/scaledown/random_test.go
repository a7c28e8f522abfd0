package scaledown_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// randomPool is a cluster with nodes in every state, the same for a seed.
func randomPool(seed uint64) cluster.Input {
	r := rand.New(rand.NewPCG(seed, 3))
	in := pool(3 + r.IntN(6))
	in.Groups[0].Min = r.IntN(3)
	in.PodDisruptionBudgets = []*policyv1.PodDisruptionBudget{budget(int32(r.IntN(4)), "web")}
	for i, n := range in.Nodes {
		switch r.IntN(4) {
		case 0:
			agent(n, "True", "Idle", time.Minute)
		case 1:
			unneeded(n, time.Duration(r.IntN(20))*time.Minute)
		case 2:
			agent(n, "False", "PodsRunning", time.Minute)
			unneeded(n, time.Hour)
		}
		for j := range r.IntN(4) {
			opts := []func(*corev1.Pod){ct.Labels(map[string]string{"app": []string{"web", "db"}[r.IntN(2)]})}
			if r.IntN(6) == 0 {
				opts = append(opts, ct.AntiAffinity(corev1.LabelHostname, "web"))
			}
			in.Pods = append(in.Pods, ct.Running(fmt.Sprintf("p-%d-%d", i, j), n.Name, fmt.Sprintf("%dm", 100+100*r.IntN(5)), "256Mi", opts...))
		}
	}
	for i := range r.IntN(3) {
		in.Pods = append(in.Pods, ct.Pending(fmt.Sprintf("pending-%d", i), "400m", "256Mi"))
	}
	return in
}

func checkPlan(t *testing.T, in cluster.Input, d scaledown.Decision) {
	t.Helper()
	g := in.Groups[0]
	if g.Desired-len(d.Remove) < g.Min {
		t.Errorf("%d of %d nodes removed, minimum %d", len(d.Remove), g.Desired, g.Min)
	}
	for _, r := range d.Remove {
		if _, ok := d.Unneeded[r.Node]; !ok {
			t.Errorf("%s is removed and not unneeded", r.Node)
		}
	}
	keepsBudgets(t, in, d)
	doubted := 0 // needed by their agents' word about pods alone
	for _, n := range d.Needed {
		if _, ok := d.Unneeded[n.Node]; ok {
			doubted++
			if n.Cause != scaledown.Held {
				t.Errorf("%s is needed by %s, and unneeded", n.Node, n.Cause)
			}
		}
	}
	if len(d.Needed)+len(d.Unneeded) != len(in.Nodes)+doubted || len(d.Remove)+len(d.Waiting)+doubted != len(d.Unneeded) {
		t.Errorf("%d needed and %d unneeded of %d nodes, %d removed, %d waiting", len(d.Needed), len(d.Unneeded), len(in.Nodes), len(d.Remove), len(d.Waiting))
	}
}

func TestRandomPlans(t *testing.T) {
	total := 0
	for seed := range uint64(100) {
		in := randomPool(seed)
		d := plan(t, in, scaledown.Options{MaxDrains: 10})
		checkPlan(t, in, d)
		first, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 4))
		r.Shuffle(len(in.Pods), func(i, j int) { in.Pods[i], in.Pods[j] = in.Pods[j], in.Pods[i] })
		r.Shuffle(len(in.Nodes), func(i, j int) { in.Nodes[i], in.Nodes[j] = in.Nodes[j], in.Nodes[i] })
		again, err := json.Marshal(plan(t, in, scaledown.Options{MaxDrains: 10}))
		if err != nil {
			t.Fatal(err)
		}
		if string(first) != string(again) {
			t.Fatalf("seed %d: shuffled input gave another plan:\n%s\n%s", seed, first, again)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		total += len(d.Remove)
	}
	if total < 50 {
		t.Errorf("only %d removals over all clusters: they test too little", total)
	}
}

// after is the cluster once the plan has been carried out: the nodes are gone and
// the evicted pods are pending.
func after(in cluster.Input, d scaledown.Decision) cluster.Input {
	gone := map[string]bool{}
	evicted := map[string]bool{}
	for _, r := range d.Remove {
		gone[r.Node], gone[r.InstanceID] = true, true
		for _, p := range r.Pods {
			evicted[p.Name] = true
		}
	}
	out := in
	out.Groups = []cluster.Group{in.Groups[0]}
	out.Groups[0].Desired -= len(d.Remove)
	out.Groups[0].Instances = slices.DeleteFunc(slices.Clone(in.Groups[0].Instances), func(i cluster.Instance) bool { return gone[i.ID] })
	out.Nodes = slices.DeleteFunc(slices.Clone(in.Nodes), func(n *corev1.Node) bool { return gone[n.Name] })
	out.Pods = nil
	for _, pod := range in.Pods {
		if pod = pod.DeepCopy(); evicted[pod.Name] {
			pod.Spec.NodeName = ""
		}
		if pod.Spec.NodeName == "" {
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		}
		out.Pods = append(out.Pods, pod)
	}
	return out
}

// What a scale-down leaves behind must not make a scale-up: more increases than
// the pods that were pending before would ask for.
func TestNoScaleUpAfterScaleDown(t *testing.T) {
	for seed := range uint64(100) {
		in := randomPool(seed)
		d := plan(t, in, scaledown.Options{MaxDrains: 10})
		grow := func(in cluster.Input) scaleup.Decision {
			s, err := cluster.New(ct.Honest(in))
			if err != nil {
				t.Fatal(err)
			}
			return scaleup.Plan(s, now, scaleup.Options{})
		}
		if before := grow(in); len(before.Increases)+len(before.Unhelped) > 0 {
			continue
		}
		if got := grow(after(in, d)); len(got.Increases)+len(got.Unhelped) > 0 {
			t.Errorf("seed %d: after removing %s: %+v", seed, removed(d), got)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		in := randomPool(seed)
		checkPlan(t, in, plan(t, in, scaledown.Options{}))
	})
}
