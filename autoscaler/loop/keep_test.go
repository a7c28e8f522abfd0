package loop_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// word is what a kubelet writes about its own Node: all but labels of the domains that
// NodeRestriction keeps it from, and taints once the Node is there.
type word func(r *rand.Rand, n *corev1.Node)

// says sets a condition as the kubelet pleases.
func says(kind corev1.NodeConditionType, status corev1.ConditionStatus, reason string, since time.Time) word {
	return func(_ *rand.Rand, n *corev1.Node) {
		c := kube.Condition(n, kind)
		if c == nil {
			n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: kind})
			c = &n.Status.Conditions[len(n.Status.Conditions)-1]
		}
		c.Status, c.Reason = status, reason
		c.LastTransitionTime, c.LastHeartbeatTime = metav1.NewTime(since), metav1.Now()
	}
}

func report(status corev1.ConditionStatus, reason v1alpha1.ReadyReason, since time.Time) word {
	return says(v1alpha1.ScaleDownReady, status, string(reason), since)
}

// words are the ways in which a node may keep itself by what it says.
var words = map[string]word{
	"idle since just now": func(r *rand.Rand, n *corev1.Node) { report(corev1.ConditionTrue, v1alpha1.Idle, time.Now())(r, n) },
	"idle from tomorrow on": func(r *rand.Rand, n *corev1.Node) {
		report(corev1.ConditionTrue, v1alpha1.Idle, time.Now().Add(24*time.Hour))(r, n)
	},
	"idle since an unknown time": report(corev1.ConditionTrue, v1alpha1.Idle, time.Time{}),
	"not ready since just now": func(r *rand.Rand, n *corev1.Node) {
		says(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", time.Now())(r, n)
	},
	"not ready since an unknown time": says(corev1.NodeReady, corev1.ConditionFalse, "KubeletNotReady", time.Time{}),
	"no word of readiness":            func(_ *rand.Rand, n *corev1.Node) { n.Status.Conditions = nil },
	"ready": func(r *rand.Rand, n *corev1.Node) {
		says(corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", time.Now())(r, n)
	},
	"pods that only the node sees": func(r *rand.Rand, n *corev1.Node) {
		report(corev1.ConditionFalse, v1alpha1.PodsRunning, time.Now())(r, n)
	},
	"a hold file": func(r *rand.Rand, n *corev1.Node) { report(corev1.ConditionFalse, v1alpha1.HoldFile, time.Now())(r, n) },
	"joining indefinitely": func(r *rand.Rand, n *corev1.Node) {
		report(corev1.ConditionFalse, v1alpha1.Joining, time.Now())(r, n)
	},
	"the operator's annotation": func(_ *rand.Rand, n *corev1.Node) {
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.ScaleDownDisabledAnnotation, "true")
	},
	"the old annotation, as if unneeded since now": func(_ *rand.Rand, n *corev1.Node) {
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, "joinery.dev/unneeded-since", time.Now().Format(time.RFC3339))
	},
	"a mark of draining": func(_ *rand.Rand, n *corev1.Node) {
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.DrainingAnnotation, "1")
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.CordonedAnnotation, "true")
	},
	"now one, now another": func(r *rand.Rand, n *corev1.Node) {
		n.Annotations = nil
		for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
			if r.IntN(2) == 0 {
				says(corev1.NodeReady, status, "", time.Now().Add(time.Duration(r.IntN(600)-300)*time.Second))(r, n)
			}
		}
		reasons := []v1alpha1.ReadyReason{v1alpha1.PodsRunning, v1alpha1.HoldFile, v1alpha1.InhibitorHeld, v1alpha1.Joining, v1alpha1.Idle}
		status := []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse}[r.IntN(2)]
		report(status, reasons[r.IntN(len(reasons))], time.Now().Add(time.Duration(r.IntN(600)-300)*time.Second))(r, n)
		if r.IntN(4) == 0 {
			metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.ScaleDownDisabledAnnotation, "true")
		}
	},
	"a hold only while it is marked, by a delay that lets it see the mark": func(_ *rand.Rand, n *corev1.Node) {
		n.Annotations = map[string]string{kube.DelayDeletionPrefix + "me": "true"}
		if kube.Marked(n) {
			n.Annotations = map[string]string{kube.ScaleDownDisabledAnnotation: "true"}
		}
	},
	"pods now and then": func(r *rand.Rand, n *corev1.Node) {
		if r.IntN(6) == 0 {
			report(corev1.ConditionFalse, v1alpha1.PodsRunning, time.Now())(r, n)
		} else {
			report(corev1.ConditionTrue, v1alpha1.Idle, time.Now())(r, n)
		}
	},
}

// TestLiarKeepsItselfOnlySoLong has empty nodes, bound to their instances, say all the
// time what may keep them, from their registration on with the taint of a
// control-plane node: they go once maxHold and the longest of the waits are over.
// Nobody else goes for it.
func TestLiarKeepsItselfOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "scaleDown: {drainTimeout: 1m, maxHold: 1h}")
		lies := slices.Sorted(maps.Keys(words))
		honest := 2
		f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: "workers", Max: 30, Desired: len(lies) + honest, LaunchTemplate: "workers", Tags: simcluster.Tags()}))
		liars := map[string]awssim.Instance{} // lie -> who tells it
		for i, in := range f.running("workers") {
			n := simcluster.NodeOf(in)
			n.CreationTimestamp = metav1.Now() // by the API server
			if i < len(lies) {
				n.Spec.Taints = []corev1.Taint{{Key: kube.ControlPlaneLabel, Effect: corev1.TaintEffectNoSchedule}}
				liars[lies[i]] = in
			} else {
				f.runOn(in.PrivateDNSName, "app-"+in.ID, "1", true)
			}
			f.register(n)
		}
		defer f.run()()
		r := rand.New(rand.NewPCG(1, 2))
		// A hold of an hour, its ten minutes of grace, a time not Ready, and some for hold
		// and wait to begin.
		const most = time.Hour + 10*time.Minute + 20*time.Minute + 5*time.Minute
		for began := time.Now(); time.Since(began) < most && len(f.tell(r, liars)) > 0; {
			bubble.Sleep(20 * time.Second)
		}
		for lie := range f.tell(r, liars) {
			t.Errorf("the liar stays: %s", lie)
		}
		if g, err := f.aws.Group("workers"); err != nil || g.Desired != honest || len(g.Members) != honest {
			t.Errorf("the group has desired %d and %d members (%v): expected the %d honest ones", g.Desired, len(g.Members), err, honest)
		}
	})
}

// tell has the liars whose instances live say their lies once more, and returns them.
func (f *fixture) tell(r *rand.Rand, liars map[string]awssim.Instance) map[string]awssim.Instance {
	f.t.Helper()
	live := map[string]awssim.Instance{}
	for _, lie := range slices.Sorted(maps.Keys(liars)) {
		in := liars[lie]
		if f.ended(in.ID) {
			continue
		}
		live[lie] = in
		n, err := f.kube.CoreV1().Nodes().Get(f.t.Context(), in.PrivateDNSName, metav1.GetOptions{})
		f.ok(err)
		words[lie](r, n)
		f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
	}
	return live
}
