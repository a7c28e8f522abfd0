package validate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// world is the cluster as the plan has it so far. It is the scheduler's lister,
// so that every question is asked about its present state.
type world struct {
	nodes map[string]*node
	// infos are the same nodes in a fixed order.
	infos []fwk.NodeInfo
}

type node struct {
	info *framework.NodeInfo
	// unusable says why nothing may be placed on the node. Empty when it may.
	unusable string
	// starts says that the node is still to start: its CSI drivers have not all
	// registered. attachLimits are what it will take of volumes then, by driver. Used
	// for drivers that its CSINode does not name.
	starts       bool
	attachLimits map[string]int32
}

func newNode(n *corev1.Node, pods []*corev1.Pod) *node {
	info := framework.NewNodeInfo(pods...)
	info.SetNode(n)
	return &node{info: info}
}

func (n *node) name() string { return n.info.Node().Name }

func (w *world) add(n *node) {
	w.nodes[n.name()] = n
	w.infos = append(w.infos, n.info)
}

// The lists of the scheduler's lister that no simulated plugin reads are nil.

func (w *world) NodeInfos() fwk.NodeInfoLister                             { return w }
func (w *world) StorageInfos() fwk.StorageInfoLister                       { return w }
func (w *world) PodGroupStates() fwk.PodGroupStateLister                   { return nil }
func (w *world) PodGroups() fwk.PodGroupLister                             { return nil }
func (w *world) CompositePodGroupStates() fwk.CompositePodGroupStateLister { return nil }
func (w *world) CompositePodGroups() fwk.CompositePodGroupLister           { return nil }

// List gives all nodes.
func (w *world) List() ([]fwk.NodeInfo, error) { return w.infos, nil }

// Get gives one node.
func (w *world) Get(name string) (fwk.NodeInfo, error) {
	n := w.nodes[name]
	if n == nil {
		return nil, fmt.Errorf("get node %q: the plan has none", name)
	}
	return n.info, nil
}

// HavePodsWithAffinityList gives the nodes with pods that have affinity terms.
func (w *world) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return w.having(fwk.NodeInfo.GetPodsWithAffinity), nil
}

// HavePodsWithRequiredAntiAffinityList gives the nodes with pods that keep
// others away.
func (w *world) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return w.having(fwk.NodeInfo.GetPodsWithRequiredAntiAffinity), nil
}

// HavePodsWithRequiredNonHostScopedAntiAffinityList gives the nodes with pods
// that keep others away from more than their node.
func (w *world) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return w.having(fwk.NodeInfo.GetPodsWithRequiredNonHostScopedAntiAffinity), nil
}

func (w *world) having(pods func(fwk.NodeInfo) []fwk.PodInfo) []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for _, info := range w.infos {
		if len(pods(info)) > 0 {
			out = append(out, info)
		}
	}
	return out
}

// IsPVCUsedByPods reports whether a pod on some node uses the claim, given as
// namespace/name.
func (w *world) IsPVCUsedByPods(key string) bool {
	for _, info := range w.infos {
		if info.GetPVCRefCounts()[key] > 0 {
			return true
		}
	}
	return false
}
