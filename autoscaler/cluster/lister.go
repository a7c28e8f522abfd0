package cluster

import (
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"
)

// SharedLister shows the snapshot, as it is at each call, to the plugins of
// kube-scheduler. Pod groups (gang scheduling) are not shown: no filter of the
// default profile asks for them.
func (s *Snapshot) SharedLister() fwk.SharedLister { return lister{s} }

type lister struct{ s *Snapshot }

func (l lister) NodeInfos() fwk.NodeInfoLister                             { return l }
func (l lister) StorageInfos() fwk.StorageInfoLister                       { return l }
func (l lister) PodGroupStates() fwk.PodGroupStateLister                   { return nil }
func (l lister) PodGroups() fwk.PodGroupLister                             { return nil }
func (l lister) CompositePodGroupStates() fwk.CompositePodGroupStateLister { return nil }
func (l lister) CompositePodGroups() fwk.CompositePodGroupLister           { return nil }

// List gives all nodes.
func (l lister) List() ([]fwk.NodeInfo, error) { return l.s.infos, nil }

// Get gives one node.
func (l lister) Get(name string) (fwk.NodeInfo, error) {
	if st := l.s.nodes[name]; st != nil {
		return st.Info, nil
	}
	return nil, fmt.Errorf("get node %q: not in the snapshot", name)
}

// HavePodsWithAffinityList gives the nodes that hold pods with affinity terms.
func (l lister) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return l.where(func(n fwk.NodeInfo) bool { return len(n.GetPodsWithAffinity()) > 0 }), nil
}

// HavePodsWithRequiredAntiAffinityList gives the nodes that hold pods which
// other pods must keep away from.
func (l lister) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.where(func(n fwk.NodeInfo) bool { return len(n.GetPodsWithRequiredAntiAffinity()) > 0 }), nil
}

// HavePodsWithRequiredNonHostScopedAntiAffinityList is the same for terms wider
// than a host; empty while the scheduler's host name fast path is off.
func (l lister) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.where(func(n fwk.NodeInfo) bool { return len(n.GetPodsWithRequiredNonHostScopedAntiAffinity()) > 0 }), nil
}

func (l lister) where(keep func(fwk.NodeInfo) bool) []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for _, n := range l.s.infos {
		if keep(n) {
			out = append(out, n)
		}
	}
	return out
}

// IsPVCUsedByPods reports whether a pod on some node uses the claim, given as
// namespace/name.
func (l lister) IsPVCUsedByPods(key string) bool {
	for _, n := range l.s.infos {
		if n.GetPVCRefCounts()[key] > 0 {
			return true
		}
	}
	return false
}
