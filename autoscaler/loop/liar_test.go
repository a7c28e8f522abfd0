package loop_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// running are the running instances of a group in the order of their ids.
func (f *fixture) running(group string) []awssim.Instance {
	f.t.Helper()
	var out []awssim.Instance
	for _, in := range f.aws.Instances() {
		if in.Group == group && in.State == awssim.Running {
			out = append(out, in)
		}
	}
	slices.SortFunc(out, func(a, b awssim.Instance) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// register makes a Node, as its kubelet wants it.
func (f *fixture) register(n *corev1.Node) {
	f.t.Helper()
	f.ok(f.kube.Tracker().Add(n))
}

// idle is an agent's report that the node may go.
func idle(n *corev1.Node) {
	n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{
		Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionTrue, Reason: string(v1alpha1.Idle),
		LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
	})
}

// runOn puts a pod on a node; a pinned one must not be evicted.
func (f *fixture) runOn(node, name, cpu string, pinned bool) {
	f.t.Helper()
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Annotations: map[string]string{},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "rs", UID: "rs", Controller: &yes}}}}
	if pinned {
		p.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] = "false"
	}
	p.Spec = corev1.PodSpec{NodeName: node, SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{Name: "c", Image: "app",
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("64Mi")}}}}}
	p.Status.Phase = corev1.PodRunning
	f.ok(f.kube.Tracker().Add(p))
}

// take makes a running pod request a resource.
func (f *fixture) take(pod, resourceName, amount string) {
	f.t.Helper()
	p, err := f.kube.CoreV1().Pods("default").Get(f.t.Context(), pod, metav1.GetOptions{})
	f.ok(err)
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceName(resourceName)] = resource.MustParse(amount)
	f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
}

// pendFor adds a pod that the scheduler found no node for, which requests a resource.
func (f *fixture) pendFor(name, resourceName, amount string) {
	f.t.Helper()
	f.pend(1, name, "100m", "64Mi")
	f.take(name+"-0", resourceName, amount)
}

// idleNodes has the agent of every empty Node report that it may go, and forgets the
// Nodes of instances that ended, as the janitor does.
func (f *fixture) idleNodes() {
	f.t.Helper()
	pods, err := f.kube.CoreV1().Pods("default").List(f.t.Context(), metav1.ListOptions{})
	f.ok(err)
	busy := map[string]bool{}
	for _, p := range pods.Items {
		busy[p.Spec.NodeName] = true
	}
	here := map[string]bool{}
	for _, in := range f.aws.Instances() {
		here[in.PrivateDNSName] = here[in.PrivateDNSName] || in.State == awssim.Running
	}
	for _, n := range f.nodes() {
		if !here[n.Name] {
			f.ok(f.kube.CoreV1().Nodes().Delete(f.t.Context(), n.Name, metav1.DeleteOptions{}))
			continue
		}
		if busy[n.Name] {
			continue
		}
		if len(n.Status.Conditions) == 1 {
			idle(&n)
		}
		n.Status.Conditions[1].LastHeartbeatTime = metav1.Now()
		f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), &n, ""))
	}
}

// ended reports whether the loop had the instance terminated.
func (f *fixture) ended(id string) bool {
	f.t.Helper()
	for _, c := range f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup") {
		if strings.Contains(fmt.Sprint(c), id) {
			return true
		}
	}
	return false
}

// excluded returns why the last round counted a Node as nothing; empty if it counted.
func (f *fixture) excluded(node string) string {
	f.t.Helper()
	for _, s := range f.decisions()[0].Excluded {
		if s.Name == node {
			return s.Reason
		}
	}
	return ""
}

// A node with its neighbour's provider id reports Idle: the neighbour goes on working.
// The liar's own instance never joined, and is replaced.
func TestLiarWithItsNeighboursProviderID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 2)
		all := f.running("workers")
		victim, liar := all[0], all[1]
		f.register(simcluster.NodeOf(victim))
		for i := range 3 {
			f.runOn(victim.PrivateDNSName, fmt.Sprint("app-", i), "500m", false)
		}
		n := simcluster.NodeOf(liar)
		n.Spec.ProviderID = simcluster.NodeOf(victim).Spec.ProviderID
		idle(n)
		f.register(n)
		defer f.run()()
		bubble.Sleep(14 * time.Minute)
		if calls := f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup"); len(calls) != 0 {
			t.Fatalf("ended: %v", calls)
		}
		if why := f.excluded(liar.PrivateDNSName); !strings.Contains(why, "impostor") || !strings.Contains(why, victim.ID) {
			t.Errorf("the liar is excluded for %q", why)
		}
		if why := f.excluded(victim.PrivateDNSName); why != "" {
			t.Errorf("the victim is excluded: %s", why)
		}
		bubble.Sleep(5 * time.Minute)
		if f.ended(victim.ID) || !f.ended(liar.ID) {
			t.Errorf("the victim's instance was ended: %t; the liar's: %t", f.ended(victim.ID), f.ended(liar.ID))
		}
		if n := f.eventsWith("DeleteUnregistered"); n != 1 {
			t.Errorf("%d events about an instance that never joined, want 1", n)
		}
	})
}

// What a Node claims that is not its own protects nothing: its own instance never
// joined, and is replaced after the timeout; so is a claimed one that has no Node.
func TestLiarProtectsNothing(t *testing.T) {
	for name, claim := range map[string]func(f *fixture, neighbour awssim.Instance) string{
		"a neighbour that never joined": func(_ *fixture, neighbour awssim.Instance) string {
			return "aws:///" + neighbour.Zone + "/" + neighbour.ID
		},
		"in another spelling": func(_ *fixture, neighbour awssim.Instance) string {
			return "aws://" + neighbour.Zone + "/" + neighbour.ID
		},
		"an instance that ended": func(f *fixture, _ awssim.Instance) string {
			dead, err := f.aws.AddInstance(awssim.InstanceSpec{})
			f.ok(err)
			f.aws.Terminate(dead.ID)
			return "aws:///" + dead.Zone + "/" + dead.ID
		},
		"an instance that never was": func(*fixture, awssim.Instance) string { return "aws:///us-west-2a/i-0123456789abcdef0" },
		"no instance of AWS":         func(*fixture, awssim.Instance) string { return "gce://project/zone/name" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &awssim.World{})
				f.group("workers", 2, 2)
				all := f.running("workers")
				n := simcluster.NodeOf(all[1])
				n.Spec.ProviderID = claim(f, all[0])
				f.register(n)
				defer f.run()()
				bubble.Sleep(14 * time.Minute)
				if f.ended(all[0].ID) || f.ended(all[1].ID) {
					t.Error("ended before its time")
				}
				bubble.Sleep(5 * time.Minute)
				if !f.ended(all[0].ID) || !f.ended(all[1].ID) {
					t.Errorf("the neighbour was replaced: %t; the liar's instance: %t", f.ended(all[0].ID), f.ended(all[1].ID))
				}
				if f.excluded(all[1].PrivateDNSName) == "" {
					t.Error("the liar counts")
				}
			})
		})
	}
}

// A Node without a provider id is the instance whose name and address it has. One that
// is no instance at all keeps no other group's instance from being replaced.
func TestLiarWithoutProviderID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 1)
		f.group("broken", 1, 1)
		own, broken := f.running("workers")[0], f.running("broken")[0]
		n := simcluster.NodeOf(own)
		n.Spec.ProviderID = ""
		f.register(n)
		stranger := simcluster.NodeOf(own)
		stranger.Name, stranger.UID, stranger.Spec.ProviderID = "stranger", "stranger", ""
		f.register(stranger)
		defer f.run()()
		bubble.Sleep(20 * time.Minute)
		if f.ended(own.ID) || !f.ended(broken.ID) {
			t.Errorf("the instance of the node without provider id was ended: %t; the one without node: %t", f.ended(own.ID), f.ended(broken.ID))
		}
		if f.excluded(own.PrivateDNSName) != "" || f.excluded("stranger") == "" {
			t.Errorf("excluded: %+v", f.decisions()[0].Excluded)
		}
	})
}

// A Node with a name of its own, not adopted yet, is no candidate, and its instance is
// not taken for one that never joined: a cluster that Joinery comes to keeps running.
// Once adopted it counts as that instance.
func TestNodeWithItsOwnNameNeedsAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 0, 1)
		in := f.running("workers")[0]
		n := simcluster.NodeOf(in)
		n.Name, n.UID = "worker-7", "old"
		idle(n)
		f.register(n)
		defer f.run()()
		bubble.Sleep(20 * time.Minute)
		if f.ended(in.ID) || f.excluded("worker-7") == "" {
			t.Fatalf("ended: %t, excluded for %q", f.ended(in.ID), f.excluded("worker-7"))
		}
		record, err := json.Marshal(binding.Record{UID: "old", ProviderID: n.Spec.ProviderID, InEC2: true})
		f.ok(err)
		f.ok(f.kube.Tracker().Add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-adopted"}, Data: map[string]string{"worker-7": string(record)}}))
		bubble.Sleep(15 * time.Minute)
		f.report(corev1.ConditionTrue, v1alpha1.Idle)
		bubble.Sleep(time.Minute)
		if !f.ended(in.ID) {
			t.Errorf("the idle adopted node stays: %+v", f.decisions()[0])
		}
	})
}

// A node that reports next to nothing does not keep its group from growing.
func TestLiarWithTinyAllocatable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 1)
		n := simcluster.NodeOf(f.running("workers")[0])
		n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("1Mi"), "pods": resource.MustParse("1")}
		f.register(n)
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pend(1, "app", "1", "1Gi")
		bubble.Sleep(10 * time.Second)
		if d := f.desired("workers"); d != 2 {
			t.Errorf("desired is %d, want 2: %+v", d, f.decisions()[0])
		}
	})
}

// A node with a broken GPU does not keep its group from growing for GPU pods.
func TestNodeWithABrokenGPU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.putTemplate("gpu", "g4dn.xlarge")
		f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: "gpu", Min: 1, Max: 10, Desired: 1, LaunchTemplate: "gpu", Tags: simcluster.Tags()}))
		n := simcluster.NodeOf(f.running("gpu")[0])
		n.Status.Allocatable["nvidia.com/gpu"] = resource.MustParse("0")
		f.register(n)
		defer f.run()()
		bubble.Sleep(time.Minute)
		f.pendFor("app", "nvidia.com/gpu", "1")
		bubble.Sleep(10 * time.Second)
		if d := f.desired("gpu"); d != 2 {
			t.Errorf("desired is %d, want 2: %+v", d, f.decisions()[0])
		}
	})
}

// A node that reports a resource that no other has makes the group buy one instance
// in vain at most, also when that one is idle, goes, and the pod still waits.
func TestLiarWithAResourceThatNobodyHas(t *testing.T) {
	for _, nodes := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &awssim.World{})
				f.group("workers", nodes, nodes)
				all := f.running("workers")
				for i, in := range all {
					n := simcluster.NodeOf(in)
					if i == 0 {
						n.Labels["evil.example/label"] = "yes"
						n.Status.Allocatable["evil.example/unicorn"] = resource.MustParse("1")
						n.Status.Capacity = n.Status.Allocatable.DeepCopy()
					}
					f.register(n)
				}
				f.runOn(all[0].PrivateDNSName, "bait", "100m", true)
				f.take("bait", "evil.example/unicorn", "1")
				defer f.run()()
				bubble.Sleep(time.Minute)
				f.pendFor("app", "evil.example/unicorn", "1")
				for range 120 {
					bubble.Sleep(30 * time.Second)
					f.join()
					f.idleNodes()
				}
				bought := len(f.aws.CallsTo("autoscaling", "SetDesiredCapacity"))
				most := 0
				if nodes == 1 {
					most = 1
				}
				if bought > most || f.desired("workers") > nodes+most {
					t.Errorf("the group was raised %d times, to %d in the end", bought, f.desired("workers"))
				}
			})
		})
	}
}
