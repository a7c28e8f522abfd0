package fit

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Ledger is a plan in the making: the nodes of a snapshot with what is left of
// them, new nodes, and how many pods of which class the plan has put where. It
// answers from counts what kube-scheduler's filters would say: what a node's
// labels and taints decide is asked of the scheduler's plugins once for each kind
// of node, resources are sums, and every term about other pods has its count for
// each topology domain. It is not safe for concurrent use.
//
// Changes are written to a log: Fork marks a place in it, Revert goes back there
// at the cost of the changes made since.
type Ledger struct {
	s       *cluster.Snapshot
	static  *statics
	dims    []corev1.ResourceName // cpu, memory, storage, pods, then what classes ask for
	drivers int                   // from here on dims are CSI drivers
	// named are the volumes that some class names.
	named map[cluster.Volume]bool

	nodes []node
	free  []int64 // node*len(dims)+dim -> what is left
	// capacity: the same for an empty node.
	capacity []int64

	keys  []string           // topology keys that a term names
	hosts int                // place of the host name in keys, -1 when none names it
	names []map[string]int32 // key -> value of the label -> domain
	place []int32            // node*len(keys)+key -> domain

	classes []*class
	byID    []*class // cluster.Class.ID -> its form here, nil when not compiled
	index   matchers
	away    map[string]*away // text of an anti-affinity term -> its counts
	domains []*domains
	bumped  [][]bump // cluster.Class.ID -> what a pod of the class is counted in
	known   []bool   // cluster.Class.ID -> bumped is worked out

	proto map[[2]string]*prototype // group, zone -> what a new node there is like
	added map[string]map[string]int

	log   []change
	marks []int
}

// node is one node of the ledger.
type node struct {
	state *cluster.NodeState
	kind  int32
	gone  bool
	// ports are the host ports in use; nil while no class asks for any.
	ports []cluster.HostPort
	// volumes: volume that a class names -> how it is there; nil when none is.
	volumes map[cluster.Volume]cluster.Held
}

// change is one entry of the log.
type change struct {
	what  action
	class *class
	node  int32
	count int32
}

type action uint8

const (
	placed action = iota
	opened
	removed
	freed
	drained
	departed
)

// prototype is an empty new node of a group in a zone.
type prototype struct {
	state *cluster.NodeState
	kind  int32
	free  []int64
	cap   []int64
	place []int32 // topology key -> domain; the host name's is set for each node
	ports []cluster.HostPort
}

// NewLedger makes a Ledger over the snapshot for plans that place pods of the
// given classes, as the scheduler of the given profile would.
func NewLedger(s *cluster.Snapshot, p *Profile, classes []*cluster.Class) (*Ledger, error) {
	return NewBraked(s, p, classes, nil)
}

// NewBraked is NewLedger for a plan that buys no nodes that the brakes refuse; nil for
// no brakes.
func NewBraked(s *cluster.Snapshot, p *Profile, classes []*cluster.Class, brakes Brakes) (*Ledger, error) {
	st, err := p.statics()
	if err != nil {
		return nil, fmt.Errorf("make ledger: %w", err)
	}
	l := &Ledger{
		s: s, static: newStatics(st, s.Distrusted()), hosts: -1,
		byID: make([]*class, s.MaxClassID()), bumped: make([][]bump, s.MaxClassID()), known: make([]bool, s.MaxClassID()),
		proto: map[[2]string]*prototype{}, added: map[string]map[string]int{},
	}
	l.static.refuses = brakes
	l.setDims(classes)
	for _, c := range classes {
		l.compile(c)
	}
	residents := l.termsOfResidents()
	l.setKeys(residents)
	l.setNodes()
	l.setTerms(residents)
	l.countResidents()
	return l, nil
}

// setDims finds the resources that the classes ask for. What nobody asks for
// decides nothing.
func (l *Ledger) setDims(classes []*cluster.Class) {
	l.dims = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourcePods}
	base := len(l.dims)
	var drivers []corev1.ResourceName
	for _, c := range classes {
		for _, sc := range c.Requests.Scalar {
			if sc.Value > 0 && !slices.Contains(l.dims[base:], sc.Name) {
				l.dims = append(l.dims, sc.Name)
			}
		}
		for _, name := range driversOf(c) {
			if d := corev1.ResourceName(name); !slices.Contains(drivers, d) {
				drivers = append(drivers, d)
			}
		}
	}
	slices.Sort(l.dims[base:])
	slices.Sort(drivers)
	l.drivers = len(l.dims)
	l.dims = append(l.dims, drivers...)
}

// vector lays out amounts by dims. Drivers are left at 0.
func (l *Ledger) vector(a *cluster.Amounts, v []int64) {
	v[0], v[1], v[2], v[3] = a.MilliCPU, a.Memory, a.EphemeralStorage, a.Pods
	for i := 4; i < l.drivers; i++ {
		v[i] = a.Of(l.dims[i])
	}
}

func (l *Ledger) setNodes() {
	states := l.s.Nodes()
	r := len(l.dims)
	l.nodes = make([]node, 0, len(states)+len(states)/8)
	l.free = make([]int64, 0, r*cap(l.nodes))
	l.capacity = make([]int64, 0, r*cap(l.nodes))
	l.place = make([]int32, 0, len(l.keys)*cap(l.nodes))
	ports := slices.ContainsFunc(l.classes, func(c *class) bool { return len(c.ports) > 0 })
	free, whole, used := make([]int64, r), make([]int64, r), make([]int64, r)
	domains := make([]int32, len(l.keys))
	for _, st := range states {
		l.measure(st, free, whole, used)
		for k, key := range l.keys {
			domains[k] = l.domain(k, st.Node().Labels, key)
		}
		n := l.push(st, l.static.kindOf(st), free, whole, domains)
		if len(l.named) > 0 {
			l.nodes[n].volumes = l.namedOn(st)
		}
		if ports {
			for _, list := range [2][]cluster.Pod{st.Residents, st.Daemons} {
				for i := range list {
					l.nodes[n].ports = append(l.nodes[n].ports, list[i].Class.Ports...)
				}
			}
		}
	}
}

// measure works out what a node has and what is left of it.
func (l *Ledger) measure(st *cluster.NodeState, free, whole, used []int64) {
	l.vector(&st.Allocatable, whole)
	l.vector(&st.Used, used)
	l.measureVolumes(st, whole[l.drivers:], used[l.drivers:])
	for i := range free {
		free[i] = whole[i] - used[i]
	}
}

func (l *Ledger) push(st *cluster.NodeState, kind int32, free, whole []int64, domains []int32) int32 {
	l.nodes = append(l.nodes, node{state: st, kind: kind})
	l.free = append(l.free, free...)
	l.capacity = append(l.capacity, whole...)
	l.place = append(l.place, domains...)
	return int32(len(l.nodes) - 1)
}

// domain gives the number of a label's value, none when the label is absent.
func (l *Ledger) domain(k int, labels map[string]string, key string) int32 {
	v, ok := labels[key]
	if !ok {
		return none
	}
	return l.domainOf(k, v)
}

func (l *Ledger) domainOf(k int, value string) int32 {
	d, ok := l.names[k][value]
	if !ok {
		d = int32(len(l.names[k]))
		l.names[k][value] = d
	}
	return d
}

// Len is the number of nodes, those that are gone counted.
func (l *Ledger) Len() int { return len(l.nodes) }

// State gives the node as the snapshot has it, or as a new one of its group would
// be.
func (l *Ledger) State(n int32) *cluster.NodeState { return l.nodes[n].state }

// Gone reports whether the node was removed.
func (l *Ledger) Gone(n int32) bool { return l.nodes[n].gone }

// Usable reports whether pods may be planned on the node.
func (l *Ledger) Usable(n int32) bool { return !l.nodes[n].gone && l.nodes[n].state.Unusable == "" }

// Dims are the resources that the ledger counts.
func (l *Ledger) Dims() []corev1.ResourceName { return l.dims }

// Free is what is left of the node, by Dims. It must not be changed.
func (l *Ledger) Free(n int32) []int64 {
	r := len(l.dims)
	return l.free[int(n)*r : int(n)*r+r : int(n)*r+r]
}

// Capacity is what the node has when it is empty, by Dims.
func (l *Ledger) Capacity(n int32) []int64 {
	r := len(l.dims)
	return l.capacity[int(n)*r : int(n)*r+r : int(n)*r+r]
}

// Fork starts a trial: the changes made from here on are undone by Revert or
// kept by Commit. Forks nest.
func (l *Ledger) Fork() { l.marks = append(l.marks, len(l.log)) }

// Revert undoes everything since the last open Fork and closes it.
func (l *Ledger) Revert() {
	mark := l.marks[len(l.marks)-1]
	l.marks = l.marks[:len(l.marks)-1]
	for i := len(l.log) - 1; i >= mark; i-- {
		switch ch := l.log[i]; ch.what {
		case placed:
			l.put(ch.class, ch.node, -ch.count)
		case freed:
			l.put(ch.class, ch.node, ch.count)
		case opened:
			l.pop()
		case removed:
			l.restore(ch.node)
		case drained:
			l.undrain(ch.node, ch.count)
		case departed:
			l.reappear(ch.node)
		}
	}
	l.log = l.log[:mark]
}

// Commit closes the last open Fork and keeps its changes.
func (l *Ledger) Commit() { l.marks = l.marks[:len(l.marks)-1] }

// Forked is the number of open forks.
func (l *Ledger) Forked() int { return len(l.marks) }
