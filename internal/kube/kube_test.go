package kube_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

var now = time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)

type edit func(*corev1.Pod)

func owned(kind string, controls bool) edit {
	return func(p *corev1.Pod) {
		p.OwnerReferences = append(p.OwnerReferences, metav1.OwnerReference{Kind: kind, UID: "u", Controller: &controls})
	}
}

func noted(key, value string) edit {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{key: value} }
}

func phase(ph corev1.PodPhase) edit { return func(p *corev1.Pod) { p.Status.Phase = ph } }

func graceEnds(in time.Duration) edit {
	return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(in)} }
}

func TestNeedsEviction(t *testing.T) {
	for name, tc := range map[string]struct {
		edits []edit
		want  bool
	}{
		"a bare pod":                    {nil, true},
		"of a ReplicaSet":               {[]edit{owned("ReplicaSet", true)}, true},
		"running":                       {[]edit{phase(corev1.PodRunning)}, true},
		"of a DaemonSet":                {[]edit{owned("DaemonSet", true)}, false},
		"of a DaemonSet, not its child": {[]edit{owned("DaemonSet", false)}, true},
		"said to be a DaemonSet's":      {[]edit{noted(kube.DaemonSetPodAnnotation, "true")}, false},
		"said not to be":                {[]edit{noted(kube.DaemonSetPodAnnotation, "false")}, true},
		"said oddly":                    {[]edit{noted(kube.DaemonSetPodAnnotation, "yes")}, true},
		"mirror":                        {[]edit{noted(corev1.MirrorPodAnnotationKey, "")}, false},
		"succeeded":                     {[]edit{phase(corev1.PodSucceeded)}, false},
		"failed":                        {[]edit{phase(corev1.PodFailed)}, false},
		"within its grace period":       {[]edit{graceEnds(time.Minute)}, true},
		"at the end of it":              {[]edit{graceEnds(0)}, true},
		"a little late":                 {[]edit{graceEnds(-kube.OverdueAfter)}, true},
		"overdue":                       {[]edit{graceEnds(-kube.OverdueAfter - 1)}, false},
	} {
		p := &corev1.Pod{}
		for _, e := range tc.edits {
			e(p)
		}
		if got := kube.NeedsEviction(p, now); got != tc.want {
			t.Errorf("%s: got %t", name, got)
		}
		// What the agent keeps of a pod has to be judged as the pod is.
		slim, err := kube.SlimPod(p)
		if err != nil {
			t.Fatal(err)
		}
		if got := kube.NeedsEviction(slim.(*corev1.Pod), now); got != tc.want {
			t.Errorf("%s, slimmed: got %t", name, got)
		}
	}
}

func TestDaemonSetOfIsTheController(t *testing.T) {
	p := &corev1.Pod{}
	p.OwnerReferences = []metav1.OwnerReference{kube.DaemonSetOwner("apps/v1", "logs", "u1")}
	if got := kube.DaemonSetOf(p); got != "u1" || !kube.DaemonSetPod(p) {
		t.Errorf("got %q", got)
	}
	noted(kube.DaemonSetPodAnnotation, "true")(p)
	p.OwnerReferences = nil
	if got := kube.DaemonSetOf(p); got != "" || !kube.DaemonSetPod(p) {
		t.Errorf("by annotation: got %q", got)
	}
}

func node(ready corev1.ConditionStatus, taints ...string) *corev1.Node {
	n := &corev1.Node{}
	if ready != "" {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse}, {Type: corev1.NodeReady, Status: ready}}
	}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
	return n
}

func TestReadyHasAMeaningForEachName(t *testing.T) {
	for name, tc := range map[string]struct {
		node                *corev1.Node
		status              corev1.ConditionStatus
		kubelet, assignable bool
	}{
		"no Node":              {nil, corev1.ConditionFalse, false, false},
		"no condition":         {node(""), corev1.ConditionFalse, false, false},
		"false":                {node(corev1.ConditionFalse), corev1.ConditionFalse, false, false},
		"silent":               {node(corev1.ConditionUnknown), corev1.ConditionUnknown, false, false},
		"true":                 {node(corev1.ConditionTrue), corev1.ConditionTrue, true, true},
		"true, still tainted":  {node(corev1.ConditionTrue, corev1.TaintNodeNotReady), corev1.ConditionTrue, true, false},
		"true, tainted by ops": {node(corev1.ConditionTrue, "dedicated"), corev1.ConditionTrue, true, true},
	} {
		if got := kube.ReadyStatus(tc.node); got != tc.status {
			t.Errorf("%s: status %s", name, got)
		}
		if got := kube.KubeletReady(tc.node); got != tc.kubelet {
			t.Errorf("%s: kubelet ready %t", name, got)
		}
		if got := kube.Schedulable(tc.node); got != tc.assignable {
			t.Errorf("%s: schedulable %t", name, got)
		}
	}
}

func TestMarks(t *testing.T) {
	n := node(corev1.ConditionTrue, "a", kube.ToBeDeletedTaint, "b")
	if !kube.Marked(n) || !kube.Leaving(n) {
		t.Error("not marked")
	}
	if got := kube.Unmarked(n); len(got) != 2 || got[0].Key != "a" || got[1].Key != "b" || len(n.Spec.Taints) != 3 {
		t.Errorf("got %v of %v", got, n.Spec.Taints)
	}
	n = node(corev1.ConditionTrue, kube.DeletionCandidateTaint)
	if kube.Marked(n) || kube.Leaving(n) {
		t.Error("a candidate counts as marked")
	}
	n.DeletionTimestamp = &metav1.Time{Time: now}
	if !kube.Leaving(n) {
		t.Error("a Node that is deleted stays")
	}
	for key, want := range map[string]bool{
		corev1.TaintNodeNotReady: true, kube.UninitializedTaint: true, kube.StartupTaintPrefix + "x": true, kube.IgnoredTaintPrefix + "x": true,
		"ebs.csi.aws.com/agent-not-ready": true, "node.cilium.io/agent-not-ready": true, "readiness.k8s.io/x": true, "karpenter.sh/unregistered": true,
		kube.ToBeDeletedTaint: false, "dedicated": false, corev1.TaintNodeUnschedulable: false, "agent-not-ready": false,
		kube.StatusTaintPrefix + "x": false, "karpenter.sh/disrupted": false, "example.com/agent-not-ready-yet": false,
	} {
		if got := kube.StartupTaint(corev1.Taint{Key: key}); got != want {
			t.Errorf("start-up taint %s: got %t", key, got)
		}
	}
}

func TestControlPlaneByLabelAlone(t *testing.T) {
	for _, key := range []string{kube.ControlPlaneLabel, kube.OldControlPlaneLabel} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"x": "", key: ""}}}
		if !kube.ControlPlane(n) {
			t.Errorf("label %s makes no control-plane node", key)
		}
		if kube.ControlPlane(node("", key)) {
			t.Errorf("taint %s makes a control-plane node", key)
		}
	}
}

func TestProviderIDBothWays(t *testing.T) {
	n := &corev1.Node{}
	if id, ok := kube.InstanceOf(n); ok {
		t.Errorf("got %q", id)
	}
	n.Spec.ProviderID = kube.ProviderID("us-west-2a", "i-0123456789abcdef0")
	if id, ok := kube.InstanceOf(n); !ok || id != "i-0123456789abcdef0" {
		t.Errorf("%s: got %q, %t", n.Spec.ProviderID, id, ok)
	}
}

func TestLocalHoldLasts(t *testing.T) {
	n := &corev1.Node{}
	for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown} {
		for _, reason := range []v1alpha1.ReadyReason{v1alpha1.Idle, v1alpha1.PodsRunning, v1alpha1.InhibitorHeld, v1alpha1.HoldFile, v1alpha1.Draining, v1alpha1.Drained, v1alpha1.Joining} {
			n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.ScaleDownReady, Status: status, Reason: string(reason)}}
			want := status == corev1.ConditionFalse && (reason == v1alpha1.InhibitorHeld || reason == v1alpha1.HoldFile)
			if got := kube.LocalHold(n); (got != nil) != want {
				t.Errorf("%s %s: got %v", status, reason, got)
			}
			if got := kube.SaysDrained(n); got != (reason == v1alpha1.Drained) {
				t.Errorf("%s %s: says drained: %t", status, reason, got)
			}
		}
	}
}

// TestHoldOfAnEarlyAgent: an agent of an early build says Joining of a held node whose
// kubelet stopped. Its report lists the holds all the same.
func TestHoldOfAnEarlyAgent(t *testing.T) {
	says := func(holds ...string) string {
		r := v1alpha1.NodeReport{InstanceID: "i-0123456789abcdef0", ReportedAt: now, Holds: holds}
		text, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, tc := range map[string]struct {
		reason v1alpha1.ReadyReason
		report string
		want   v1alpha1.ReadyReason
	}{
		"a file":                 {v1alpha1.Joining, says("file: job"), v1alpha1.HoldFile},
		"a lock":                 {v1alpha1.Joining, says("inhibitor: backup"), v1alpha1.InhibitorHeld},
		"both":                   {v1alpha1.Joining, says("file: job", "inhibitor: backup"), v1alpha1.InhibitorHeld},
		"nothing":                {v1alpha1.Joining, says(), ""},
		"no report":              {v1alpha1.Joining, "", ""},
		"a report of nonsense":   {v1alpha1.Joining, "{", ""},
		"lifted since":           {v1alpha1.PodsRunning, says("file: job"), ""},
		"a hold in its own word": {v1alpha1.HoldFile, says(), v1alpha1.HoldFile},
	} {
		n := &corev1.Node{}
		n.Annotations = map[string]string{v1alpha1.NodeReportAnnotation: tc.report}
		n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionFalse, Reason: string(tc.reason), Message: "the node is not Ready"}}
		got := v1alpha1.ReadyReason("")
		if c := kube.LocalHold(n); c != nil {
			got = v1alpha1.ReadyReason(c.Reason)
		}
		if got != tc.want || n.Status.Conditions[0].Reason != string(tc.reason) {
			t.Errorf("%s: got %q, want %q; the Node says %s", name, got, tc.want, n.Status.Conditions[0].Reason)
		}
	}
}

func TestSlimKeepsWhatIsAskedFor(t *testing.T) {
	full := node(corev1.ConditionTrue, "dedicated")
	full.Name, full.UID, full.ResourceVersion, full.CreationTimestamp = "n", "u", "7", metav1.Time{Time: now}
	full.Labels = map[string]string{"a": "1", "b": "2"}
	full.Annotations = map[string]string{"mine": "x", "foreign": "y"}
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
	full.Spec.ProviderID, full.Spec.Unschedulable = "aws:///z/i-1", true
	full.Status.Images = []corev1.ContainerImage{{SizeBytes: 1}}
	full.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}

	least := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "u", ResourceVersion: "7", CreationTimestamp: full.CreationTimestamp}}
	least.Spec.ProviderID, least.Spec.Unschedulable = "aws:///z/i-1", true
	if got, err := (kube.KeptNode{}).Slim(full); err != nil || cmp.Diff(any(least), got) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(any(least), got))
	}
	most := least.DeepCopy()
	most.Labels, most.Annotations = map[string]string{"a": "1"}, map[string]string{"mine": "x"}
	most.Spec.Taints = full.Spec.Taints
	most.Status.Conditions, most.Status.Addresses = full.Status.Conditions[1:], full.Status.Addresses[1:]
	kept := kube.KeptNode{
		Labels: func(key string) bool { return key == "a" }, Annotations: []string{"mine", "absent"},
		Conditions: []corev1.NodeConditionType{corev1.NodeReady, v1alpha1.ScaleDownReady}, Taints: true, InternalAddresses: true,
	}
	got, err := kept.Slim(full)
	if err != nil || cmp.Diff(any(most), got) != "" {
		t.Errorf("%v: %s", err, cmp.Diff(any(most), got))
	}
	// A transform may be asked for its own result again.
	if again, _ := kept.Slim(got); cmp.Diff(got, again) != "" {
		t.Error(cmp.Diff(got, again))
	}
	if got, want := kube.InternalAddresses(full), []string{"10.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if other, _ := kept.Slim("x"); other != "x" {
		t.Errorf("another kind: got %v", other)
	}
}
