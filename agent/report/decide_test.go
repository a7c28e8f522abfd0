package report_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

func pod(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	if change != nil {
		change(p)
	}
	return p
}

func ownedBy(kind string) func(*corev1.Pod) {
	yes := true
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: "x", Controller: &yes}}
	}
}

func aNode(change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
	if change != nil {
		change(n)
	}
	return n
}

func notReady(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }

func going(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Value: "1", Effect: corev1.TaintEffectNoSchedule}}
}

func TestDecide(t *testing.T) {
	running := []*corev1.Pod{pod("b", ownedBy("ReplicaSet")), pod("a", nil)}
	lock := report.Holds{Inhibitors: []string{"backup: writes"}, Files: []string{"x"}}
	for name, tc := range map[string]struct {
		node    *corev1.Node
		pods    []*corev1.Pod
		holds   report.Holds
		reason  v1alpha1.ReadyReason
		message string
	}{
		"no node":                  {nil, nil, report.Holds{}, v1alpha1.Joining, "not Ready"},
		"not ready":                {aNode(notReady), nil, report.Holds{}, v1alpha1.Joining, "not Ready"},
		"empty":                    {aNode(nil), nil, report.Holds{}, v1alpha1.Idle, "nothing"},
		"daemons":                  {aNode(nil), []*corev1.Pod{pod("d", ownedBy("DaemonSet"))}, report.Holds{}, v1alpha1.Idle, "nothing"},
		"mirror":                   {aNode(nil), []*corev1.Pod{pod("m", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} })}, report.Holds{}, v1alpha1.Idle, "nothing"},
		"ended":                    {aNode(nil), []*corev1.Pod{pod("j", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), pod("k", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })}, report.Holds{}, v1alpha1.Idle, "nothing"},
		"running":                  {aNode(nil), running, report.Holds{}, v1alpha1.PodsRunning, "2 pods: default/a, default/b"},
		"pending":                  {aNode(nil), []*corev1.Pod{pod("p", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })}, report.Holds{}, v1alpha1.PodsRunning, "1 pod: default/p"},
		"lock":                     {aNode(nil), nil, lock, v1alpha1.InhibitorHeld, "1 inhibitor lock: backup: writes"},
		"file":                     {aNode(nil), nil, report.Holds{Files: []string{"x"}}, v1alpha1.HoldFile, "1 hold file: x"},
		"draining":                 {aNode(going), running, report.Holds{}, v1alpha1.Draining, "2 pods"},
		"drained":                  {aNode(going), nil, report.Holds{}, v1alpha1.Drained, "no pods"},
		"lock, not ready":          {aNode(notReady), nil, lock, v1alpha1.InhibitorHeld, "backup: writes; 1 hold file: x; the node is not Ready"},
		"file, not ready":          {aNode(notReady), nil, report.Holds{Files: []string{"x"}}, v1alpha1.HoldFile, "1 hold file: x; the node is not Ready"},
		"file, and pods":           {aNode(nil), running, report.Holds{Files: []string{"x"}}, v1alpha1.HoldFile, "1 hold file: x; 2 pods: default/a, default/b"},
		"lock and taint":           {aNode(going), nil, lock, v1alpha1.InhibitorHeld, "backup"},
		"said to be a DaemonSet's": {aNode(nil), []*corev1.Pod{pod("d", func(p *corev1.Pod) { p.Annotations = map[string]string{kube.DaemonSetPodAnnotation: "true"} })}, report.Holds{}, v1alpha1.Idle, "nothing"},
		"terminating":              {aNode(nil), []*corev1.Pod{pod("a", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} })}, report.Holds{}, v1alpha1.PodsRunning, "1 pod"},
		"overdue":                  {aNode(nil), []*corev1.Pod{pod("a", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(-time.Hour)} })}, report.Holds{}, v1alpha1.Idle, "nothing"},
		"many pods":                {aNode(nil), []*corev1.Pod{pod("1", nil), pod("2", nil), pod("3", nil), pod("4", nil), pod("5", nil), pod("6", nil)}, report.Holds{}, v1alpha1.PodsRunning, "6 pods: default/1, default/2, default/3, default/4, default/5, …"},
	} {
		t.Run(name, func(t *testing.T) {
			got := report.Decide(tc.node, tc.pods, tc.holds, time.Now())
			if got.Reason != tc.reason || !strings.Contains(got.Message, tc.message) {
				t.Errorf("got %+v, want %s with %q", got, tc.reason, tc.message)
			}
		})
	}
}

type locks struct {
	list []host.Inhibitor
	err  error
}

func (l locks) Inhibitors(context.Context) ([]host.Inhibitor, error) { return l.list, l.err }

func TestReadHolds(t *testing.T) {
	dir := t.TempDir()
	l := locks{list: []host.Inhibitor{
		{What: "shutdown", Who: "backup", Why: "writes\n" + strings.Repeat("x", 200), Mode: "block"},
		{What: "shutdown", Who: "kubelet", Why: "graceful", Mode: "delay"},
	}}
	got, err := report.ReadHolds(t.Context(), l, filepath.Join(dir, "none"))
	if err != nil || len(got.Inhibitors) != 1 || !strings.HasPrefix(got.Inhibitors[0], "backup: writes xxx") || len(got.Inhibitors[0]) > 100 || got.Files != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "job"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err = report.ReadHolds(t.Context(), locks{err: errors.New("no bus")}, dir)
	if err == nil || cmp.Diff(got, report.Holds{Files: []string{"job"}}) != "" {
		t.Errorf("got %+v, %v", got, err)
	}
}
