package cluster_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

func TestNominate(t *testing.T) {
	g := ct.Group("workers", 0, 1, 9, "2", "4Gi", "us-west-2a")
	n := ct.Join(&g, "i-1", "us-west-2a")
	ending := func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now()} }
	s := snapshot(t, cluster.Input{Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}, Pods: []*corev1.Pod{
		ct.Running("victim", n.Name, "1", "1Gi", ending), ct.Running("peer", n.Name, "300m", "1Gi", ending, ct.Priority(10)), ct.Running("stays", n.Name, "200m", "1Gi"),
	}})
	cpu := func() int64 { return s.Node(n.Name).Info.Requested.MilliCPU }
	urgent := ct.Pending("urgent", "700m", "1Gi", ct.Priority(10))
	s.Fork()
	if s.Nominate(urgent) {
		t.Error("a pod without a nominated node was placed")
	}
	urgent.Status.NominatedNodeName = n.Name
	if !s.Nominate(urgent) || cpu() != 1200 {
		t.Errorf("with the pod in its victim's place %dm are taken, want 1200m", cpu())
	}
	s.Revert()
	if cpu() != 1500 {
		t.Errorf("after the revert %dm are taken, want 1500m", cpu())
	}
}
