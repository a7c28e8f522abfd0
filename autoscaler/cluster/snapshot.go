package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/internal/binding"
)

// Snapshot is the world at one moment. It is never changed, and its methods give
// sorted lists that must not be changed either. Plans try things out in a
// fit.Ledger over it.
type Snapshot struct {
	now        time.Time
	groups     []Group
	groupAt    map[string]int
	members    map[InstanceID]member
	daemons    []daemon
	local      map[string]*local // group -> its nodes' pods, where they told
	namespaces map[string]labels.Set
	budgets    []*policyv1.PodDisruptionBudget
	storage    *storage

	// nodes: name -> state; order lists the same nodes, real ones by name, then
	// imagined ones by group.
	nodes map[string]*NodeState
	order []*NodeState
	// zones: group -> zone -> instances there, with upcoming ones.
	zones map[string]map[string]int

	pending, incoming []Pod
	// in is what the snapshot was taken of, without nodes and pods.
	in Input
}

// member points at an instance of a group by their places.
type member struct{ group, instance int }

// New makes a snapshot of listed objects. Names that stand twice in a list are
// an error, since such a list is no picture of a cluster.
func New(in Input) (*Snapshot, error) {
	c := NewCache()
	for _, n := range in.Nodes {
		if c.nodes[n.Name] != nil {
			return nil, fmt.Errorf("take snapshot: node %q stands twice", n.Name)
		}
		c.SetNode(n)
	}
	c.load(in.Pods)
	return c.Snapshot(in)
}

// Snapshot takes a picture of the cache at a moment. Nodes and Pods of in are not
// looked at. The only error is a group that stands twice.
func (c *Cache) Snapshot(in Input) (*Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setDaemons(&in)
	s := &Snapshot{
		now:        in.Now,
		nodes:      make(map[string]*NodeState, len(c.nodes)),
		zones:      make(map[string]map[string]int, len(in.Groups)),
		members:    make(map[InstanceID]member),
		groupAt:    make(map[string]int, len(in.Groups)),
		namespaces: make(map[string]labels.Set, len(in.Namespaces)),
		daemons:    c.daemons,
		in:         in,
	}
	if err := s.setGroups(in.Groups); err != nil {
		return nil, err
	}
	c.setLocal(s.groups)
	s.local = c.local
	for _, ns := range in.Namespaces {
		s.namespaces[ns.Name] = ns.Labels
	}
	s.budgets = slices.Clone(in.PodDisruptionBudgets)
	slices.SortFunc(s.budgets, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	s.storage = newStorage(&in, c.classes.next)
	s.setNodes(c)
	s.setWaiting(c.unbound.sorted())
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

func (s *Snapshot) setNodes(c *Cache) {
	nodes := make([]*corev1.Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	states := make([]NodeState, len(nodes))
	s.order = make([]*NodeState, 0, len(nodes))
	for i, node := range nodes {
		st := &states[i]
		verdict := s.in.Bindings[node.Name]
		group, inst, _ := s.memberOf(&verdict)
		st.Instance, st.Zone = inst, node.Labels[corev1.LabelTopologyZone]
		if group != nil {
			st.Group = group.Name
		}
		if inst != nil && inst.Zone != "" {
			st.Zone = inst.Zone
		}
		st.Excluded = excluded(&verdict)
		st.csi, st.young = s.storage.nodes[node.Name], Young(node, inst, s.now)
		st.AttachLimits = attachLimits(st.csi)
		st.judge(node, group, &s.in.Taints, s.now)
		st.bound(group)
		r := c.residents[node.Name]
		if r != nil {
			r.seal()
			st.Residents, st.Used = r.pods, r.used
		}
		if st.Unusable == "" {
			st.setDaemons(c.daemonsFor(s, st, r))
		}
		s.insert(st)
	}
}

// daemonsFor returns the pods of DaemonSets that are still to come to the node, and the
// static ones that a young node does not show yet: one that has just joined has none of
// them, and they come before any other pod.
func (c *Cache) daemonsFor(s *Snapshot, st *NodeState, r *residents) []Pod {
	key := memoKey{node: st.node, residents: r, gen: c.daemonsGen, localGen: c.localGen, young: st.settling}
	if r != nil {
		key.version = r.version
	}
	name := st.Name()
	if memo, ok := c.memos[name]; ok && memo.memoKey == key {
		return memo.missing
	}
	missing := missingDaemons(s.daemonsOf(st.Group), st.node, st.Residents)
	if st.settling {
		missing = append(missing, s.staticOf(st.Group, name, st.Residents)...)
	}
	c.memos[name] = daemonMemo{key, missing}
	return missing
}

func (s *Snapshot) insert(st *NodeState) {
	s.nodes[st.Name()] = st
	s.order = append(s.order, st)
}

func (s *Snapshot) setWaiting(pods []Pod) {
	s.incoming = pods
	for i := range pods {
		pods[i].Class = s.WithVolumes(pods[i])
		if pods[i].is&refused != 0 {
			s.pending = append(s.pending, pods[i])
		}
	}
}

// WithVolumes gives the pod's class with what its volumes need; a pod without
// claims has its own class.
func (s *Snapshot) WithVolumes(p Pod) *Class {
	if !p.Class.Claims || p.Class.Volumes != nil {
		return p.Class
	}
	s.storage.look(s.order, s.incoming)
	return s.storage.withNeeds(p.Pod, p.Class)
}

// MaxClassID is above the ID of every class, those that WithVolumes has made
// until now among them.
func (s *Snapshot) MaxClassID() int { return s.storage.next }

// Input gives the objects of the snapshot: all nodes, the pods on them and those
// that wait for one.
func (s *Snapshot) Input() Input {
	in := s.in
	in.Nodes, in.Pods = nil, nil
	for _, st := range s.order {
		if st.Kind != Joined && st.Kind != Starting {
			continue
		}
		in.Nodes = append(in.Nodes, st.node)
		for i := range st.Residents {
			in.Pods = append(in.Pods, st.Residents[i].Pod)
		}
	}
	for i := range s.incoming {
		in.Pods = append(in.Pods, s.incoming[i].Pod)
	}
	return in
}

// Distrusted are the nodes that are no place for a class, by its Key, see
// Input.Distrusted.
func (s *Snapshot) Distrusted() map[string][]string { return s.in.Distrusted }

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

// GroupOf returns the group and the instance that a node is, by its verdict in
// Input.Bindings.
func (s *Snapshot) GroupOf(node *corev1.Node) (*Group, *Instance, bool) {
	verdict := s.in.Bindings[node.Name]
	return s.memberOf(&verdict)
}

// Bindings are the verdicts by node name that the snapshot was taken with.
func (s *Snapshot) Bindings() map[string]binding.Verdict { return s.in.Bindings }

func (s *Snapshot) memberOf(v *binding.Verdict) (*Group, *Instance, bool) {
	m, ok := s.members[v.InstanceID]
	if !ok || !v.Counts() {
		return nil, nil, false
	}
	g := &s.groups[m.group]
	return g, &g.Instances[m.instance], true
}

// Nodes are all nodes: those of the API server by name, then upcoming ones by
// group.
func (s *Snapshot) Nodes() []*NodeState { return s.order }

// Node gives the node of that name, nil when there is none.
func (s *Snapshot) Node(name string) *NodeState { return s.nodes[name] }

// Pending are the pods that the scheduler has found no node for, by namespace
// and name. Gated and ending pods, daemons and pods of other schedulers are not
// among them.
func (s *Snapshot) Pending() []Pod { return s.pending }

// Incoming are the pending pods and those which the scheduler has not looked at
// yet. They need no new node yet, but a node they may land on must stay.
func (s *Snapshot) Incoming() []Pod { return s.incoming }

// NamespaceLabels are the labels of a namespace, nil when it is not known.
func (s *Snapshot) NamespaceLabels(name string) labels.Set { return s.namespaces[name] }

// PodDisruptionBudgets are the budgets by namespace and name.
func (s *Snapshot) PodDisruptionBudgets() []*policyv1.PodDisruptionBudget { return s.budgets }
