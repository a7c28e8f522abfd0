package scaleup_test

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// preemption has begun on the only node: a pod that takes so much cpu is to come
// in the place of one that took so much and is ending.
func preemption(urgent, victim string) cluster.Input {
	g := ct.Group("workers", 0, 1, 5, "2", "4Gi", "us-west-2a")
	n := ct.Join(&g, "i-1", "us-west-2a")
	return cluster.Input{Groups: []cluster.Group{g}, Nodes: []*corev1.Node{n}, Pods: []*corev1.Pod{
		ct.Running("victim", n.Name, victim, "1Gi", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }),
		ct.Pending("urgent", urgent, "1Gi", ct.Priority(10), func(p *corev1.Pod) { p.Status.NominatedNodeName = n.Name }),
	}}
}
