package asg

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

func static(name string, cpu int64) cluster.NodePod {
	return cluster.NodePod{Namespace: "kube-system", Name: name, Requests: cluster.Amounts{MilliCPU: cpu, Pods: 1}}
}

func ofDaemonSet(name string, cpu int64) cluster.NodePod {
	p := static(name, cpu)
	p.DaemonSet = true
	return p
}

// Pods of nodes are learned as far as more than half of the nodes have them; a node alone
// cannot fill the next ones with what it claims to run.
func TestPodsOfNodesAreLearned(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	type pods = []cluster.NodePod
	for name, tt := range map[string]struct {
		nodes []pods
		ages  []time.Duration
		want  pods
	}{
		"one node":                       {[]pods{{static("proxy", 300)}}, nil, pods{static("proxy", 300)}},
		"a liar alone":                   {[]pods{{static("a", 90000), static("b", 90000)}}, nil, pods{static("a", 48000), static("b", 0)}},
		"a liar of three":                {[]pods{{static("proxy", 90000), static("lie", 9)}, {static("proxy", 300)}, {static("proxy", 300)}}, nil, pods{static("proxy", 300)}},
		"one of two":                     {[]pods{{static("proxy", 300)}, {}}, nil, nil},
		"one of two, the other is young": {[]pods{{static("proxy", 300)}, {}}, []time.Duration{time.Hour, time.Minute}, pods{static("proxy", 300)}},
		"one of two, the other settled":  {[]pods{{static("proxy", 300)}, {}}, []time.Duration{time.Hour, time.Hour}, nil},
		"a DaemonSet of some nodes":      {[]pods{{ofDaemonSet("agent", 700)}, {}, {}}, nil, pods{ofDaemonSet("agent", 700)}},
		"a DaemonSet that differs":       {[]pods{{ofDaemonSet("agent", 700)}, {ofDaemonSet("agent", 700)}, {ofDaemonSet("agent", 100)}}, nil, pods{ofDaemonSet("agent", 700)}},
		"a DaemonSet larger than a node": {[]pods{{ofDaemonSet("agent", 95000)}}, nil, pods{ofDaemonSet("agent", 95000)}},
		"no node has any":                {[]pods{{}, {}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			g, known, nodes := gpuGroup(len(tt.nodes))
			of := map[string]pods{}
			for i, n := range nodes {
				of[n.Name] = tt.nodes[i]
				if tt.ages != nil {
					n.CreationTimestamp = metav1.NewTime(now.Add(-tt.ages[i]))
				}
			}
			s := Look(nodes, nil, bound(nodes)).With(func(node string) []cluster.NodePod { return of[node] })
			if tt.ages != nil {
				s.At(now)
			}
			if got := s.Template(g, known).NodePods; fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// What is learned of pods does not depend on how many nodes there are.
func TestPodsOfManyNodes(t *testing.T) {
	g, known, nodes := gpuGroup(3 * mostTellers)
	asked := 0
	s := Look(nodes, nil, bound(nodes)).With(func(string) []cluster.NodePod {
		asked++
		return []cluster.NodePod{static("proxy", 300)}
	})
	if got := s.Template(g, known).NodePods; len(got) != 1 || asked != mostTellers {
		t.Errorf("%d nodes were asked: %v", asked, got)
	}
}

// Young nodes do not take back what others told; settled ones do, by majority.
func TestYoungNodesTakeNothingBack(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	aged := func(nodes []*corev1.Node, age time.Duration, has bool) {
		for _, n := range nodes {
			n.CreationTimestamp = metav1.NewTime(now.Add(-age))
			if !has {
				n.Labels = nil
				delete(n.Status.Allocatable, "nvidia.com/gpu")
				delete(n.Status.Allocatable, "vendor.example/nic")
			}
		}
	}
	told := func(t *cluster.Template) string {
		a := cluster.AmountsOf(t.Allocatable)
		return fmt.Sprintf("%d %d %s %d", a.Of("nvidia.com/gpu"), a.Of("vendor.example/nic"), t.Labels["vendor.example/cpu"], t.AttachLimits["ebs"])
	}
	g, known, nodes := gpuGroup(6)
	aged(nodes[:2], time.Hour, true)
	aged(nodes[2:], time.Minute, false)
	look := func(nodes []*corev1.Node, limited int) string {
		var csi []*storagev1.CSINode
		for _, n := range nodes[:limited] {
			csi = append(csi, limitsOf(n.Name, 25))
		}
		return told(Look(nodes, csi, bound(nodes)).At(now).Template(g, known))
	}
	if got := look(nodes[:2], 2); got != "8 4 fast 25" {
		t.Fatalf("learned %s", got)
	}
	if got := look(nodes, 2); got != "8 4 fast 25" {
		t.Errorf("beside four young nodes: %s", got)
	}
	if got := look(nodes[2:], 0); got != "8 4 fast 25" {
		t.Errorf("of young nodes alone: %s", got)
	}
	if got := told(Look(nil, nil, nil).At(now).Template(g, known)); got != "8 4 fast 25" {
		t.Errorf("over zero: %s", got)
	}
	aged(nodes[2:], cluster.StartupTimeout, false)
	if got := look(nodes, 2); got != "0 0  0" {
		t.Errorf("beside four that settled without: %s", got)
	}
	if got := told(Look(nil, nil, nil).At(now).Template(g, known)); got != "0 0  0" {
		t.Errorf("over zero then: %s", got)
	}
	g.LaunchTemplateVersion = "2"
	if got := told(Look(nil, nil, nil).At(now).Template(g, known)); got != "8 0  0" {
		t.Errorf("of another version: %s", got)
	}
}
