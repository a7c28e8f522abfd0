package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// Snapshot is the world at one moment. Its reading methods give sorted lists
// that must not be changed. It is not safe for concurrent use.
//
// Changes (AddPlanned, RemoveNode, AddPod, Nominate) are written to an undo
// log; Fork marks a place in it and Revert goes back there, at the cost of the
// changes made since and not of the size of the cluster.
type Snapshot struct {
	now        time.Time
	groups     []Group
	groupAt    map[string]int
	members    map[InstanceID]member
	daemons    []daemon
	namespaces []*corev1.Namespace
	budgets    []*policyv1.PodDisruptionBudget

	// nodes: name -> state; order and infos list the same nodes, real ones by
	// name, then imagined ones as they were added.
	nodes map[string]*NodeState
	order []*NodeState
	infos []fwk.NodeInfo
	// zones: group -> zone -> instances there, with upcoming and planned ones.
	zones map[string]map[string]int

	pending, incoming []*corev1.Pod

	undo  []func()
	marks []int
}

// member points at an instance of a group by their places.
type member struct{ group, instance int }

// New makes a snapshot of listed objects. Names that stand twice in a list are
// an error, since such a list is no picture of a cluster.
func New(in Input) (*Snapshot, error) {
	s := &Snapshot{
		now:     in.Now,
		nodes:   make(map[string]*NodeState, len(in.Nodes)),
		zones:   make(map[string]map[string]int, len(in.Groups)),
		members: make(map[InstanceID]member),
		groupAt: make(map[string]int, len(in.Groups)),
	}
	if err := s.setGroups(in.Groups); err != nil {
		return nil, err
	}
	s.setLists(in)
	if err := s.setNodes(in.Nodes); err != nil {
		return nil, err
	}
	s.setPods(in.Pods)
	s.setDaemons()
	s.setUpcoming()
	return s, nil
}

func (s *Snapshot) setGroups(groups []Group) error {
	s.groups = slices.Clone(groups)
	slices.SortFunc(s.groups, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	for gi := range s.groups {
		g := &s.groups[gi]
		if _, twice := s.groupAt[g.Name]; twice {
			return fmt.Errorf("take snapshot: group %q stands twice", g.Name)
		}
		s.groupAt[g.Name] = gi
		g.Zones = slices.Sorted(slices.Values(g.Zones))
		g.Instances = slices.Clone(g.Instances)
		slices.SortFunc(g.Instances, func(a, b Instance) int { return cmp.Compare(a.ID, b.ID) })
		s.zones[g.Name] = make(map[string]int)
		for ii, inst := range g.Instances {
			s.members[inst.ID] = member{gi, ii}
			if !inst.Leaving() && !inst.OutOfService() {
				s.zones[g.Name][inst.Zone]++
			}
		}
	}
	return nil
}

func (s *Snapshot) setLists(in Input) {
	s.namespaces = in.Namespaces
	s.budgets = slices.Clone(in.PodDisruptionBudgets)
	slices.SortFunc(s.budgets, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, ds := range in.DaemonSets {
		if ds.DeletionTimestamp == nil {
			s.daemons = append(s.daemons, newDaemon(ds))
		}
	}
	slices.SortFunc(s.daemons, func(a, b daemon) int {
		return cmp.Or(ComparePods(&a.pod, &b.pod), cmp.Compare(a.pod.GenerateName, b.pod.GenerateName))
	})
}

func (s *Snapshot) setNodes(nodes []*corev1.Node) error {
	nodes = slices.Clone(nodes)
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, node := range nodes {
		if _, twice := s.nodes[node.Name]; twice {
			return fmt.Errorf("take snapshot: node %q stands twice", node.Name)
		}
		group, inst, _ := s.GroupOf(node)
		s.insert(joinedState(node, group, inst, s.now))
	}
	return nil
}

func (s *Snapshot) insert(st *NodeState) {
	s.nodes[st.Name()] = st
	s.order = append(s.order, st)
	s.infos = append(s.infos, st.Info)
}

func (s *Snapshot) setPods(pods []*corev1.Pod) {
	pods = slices.Clone(pods)
	slices.SortFunc(pods, ComparePods)
	for _, pod := range pods {
		if st := s.nodes[pod.Spec.NodeName]; st != nil && !Terminal(pod) {
			st.Info.AddPod(pod)
		}
		if unbound(pod) {
			s.incoming = append(s.incoming, pod)
			if unschedulable(pod) {
				s.pending = append(s.pending, pod)
			}
		}
	}
}

// setDaemons puts the daemons on the nodes that are still to get them: a node
// that has just joined has none yet, and they come before any other pod.
func (s *Snapshot) setDaemons() {
	for _, st := range s.order {
		if st.Unusable == "" {
			s.addDaemons(st)
		}
	}
}

func (s *Snapshot) addDaemons(st *NodeState) {
	for _, pod := range missingDaemons(s.daemons, st) {
		st.Info.AddPod(pod)
	}
}

// Now is the moment of the observation, zero when it was not given.
func (s *Snapshot) Now() time.Time { return s.now }

// Groups are all groups by name.
func (s *Snapshot) Groups() []Group { return s.groups }

// Group gives the group of that name, nil when there is none.
func (s *Snapshot) Group(name string) *Group {
	if i, ok := s.groupAt[name]; ok {
		return &s.groups[i]
	}
	return nil
}

// GroupOf tells which group and instance a node belongs to, by the instance id
// in its provider id.
func (s *Snapshot) GroupOf(node *corev1.Node) (*Group, *Instance, bool) {
	m, ok := s.members[instanceIDOf(node.Spec.ProviderID)]
	if !ok {
		return nil, nil, false
	}
	g := &s.groups[m.group]
	return g, &g.Instances[m.instance], true
}

// Nodes are all nodes: those of the API server by name, then upcoming ones by
// group, then planned ones in the order of planning.
func (s *Snapshot) Nodes() []*NodeState { return s.order }

// Node gives the node of that name, nil when there is none.
func (s *Snapshot) Node(name string) *NodeState { return s.nodes[name] }

// Pending are the pods that the scheduler has found no node for, by namespace
// and name. Gated and ending pods, daemons and pods of other schedulers are not
// among them.
func (s *Snapshot) Pending() []*corev1.Pod { return s.pending }

// Incoming are the pending pods and those which the scheduler has not looked at
// yet. They need no new node yet, but a node they may land on must stay.
func (s *Snapshot) Incoming() []*corev1.Pod { return s.incoming }

// Namespaces are the namespaces as given.
func (s *Snapshot) Namespaces() []*corev1.Namespace { return s.namespaces }

// PodDisruptionBudgets are the budgets by namespace and name.
func (s *Snapshot) PodDisruptionBudgets() []*policyv1.PodDisruptionBudget { return s.budgets }
