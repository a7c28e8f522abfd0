package workload

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// age is how long the nodes and what runs on them have been there, and unneeded
// for as long as nothing says otherwise: they may go at once.
const age = 24 * time.Hour

// join adds the nodes to the groups in turn.
func (s Spec) join(groups []cluster.Group) []*corev1.Node {
	out := make([]*corev1.Node, s.Nodes)
	for i := range out {
		g := &groups[i%len(groups)]
		node := clustertest.Join(g, fmt.Sprintf("i-%017x", i), g.Zones[0])
		node.CreationTimestamp = metav1.NewTime(Now.Add(-age))
		metav1.SetMetaDataLabel(&node.ObjectMeta, v1alpha1.UnneededSinceLabel, strconv.FormatInt(Now.Add(-age).Unix(), 10))
		g.Desired++
		g.Instances[len(g.Instances)-1].LaunchedAt = Now.Add(-age)
		out[i] = node
	}
	return out
}

// running makes the pods of one node. A third each is smaller and larger by a
// third than the rest, so that together they request the load.
func (s Spec) running(node *corev1.Node) []*corev1.Pod {
	cpu := s.each(node.Status.Allocatable.Cpu().MilliValue())
	memory := s.each(node.Status.Allocatable.Memory().Value() >> 20)
	out := make([]*corev1.Pod, s.PodsPerNode)
	for i := range out {
		odd := int64(0)
		if i < s.PodsPerNode/3*3 {
			odd = int64(i%3 - 1)
		}
		app := fmt.Sprintf("running-%02d", i)
		pod := makePod(app, app+"-"+node.Name, cpu+odd*(cpu/3), memory+odd*(memory/3))
		pod.Spec.NodeName = node.Name
		pod.CreationTimestamp = metav1.NewTime(Now.Add(-age))
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning}
		out[i] = pod
	}
	return out
}

// each is what one pod of a node requests of so much.
func (s Spec) each(allocatable int64) int64 {
	return int64(float64(allocatable) * s.Load / float64(s.PodsPerNode))
}
