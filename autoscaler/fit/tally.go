package fit

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// none is the domain of a node that does not have the label.
const none = int32(-1)

// denseDomains is up to how many domains of a topology key are counted in a
// slice. Host names are beyond it: a slice for each of many counters would cost
// more memory than all pods.
const denseDomains = 1024

// tally counts pods by topology domain.
type tally struct {
	key    int // place in Ledger.keys
	dense  []int32
	sparse map[int32]int32
	total  int
}

func (t *tally) at(domain int32) int32 {
	if domain < denseDomains {
		if domain < 0 || int(domain) >= len(t.dense) {
			return 0
		}
		return t.dense[domain]
	}
	return t.sparse[domain]
}

// add counts n more pods in the domain; nodes without the label do not count.
func (t *tally) add(domain, n int32) {
	if domain < 0 {
		return
	}
	t.total += int(n)
	if domain < denseDomains {
		for int(domain) >= len(t.dense) {
			t.dense = append(t.dense, 0)
		}
		t.dense[domain] += n
		return
	}
	if t.sparse == nil {
		t.sparse = map[int32]int32{}
	}
	if t.sparse[domain] += n; t.sparse[domain] == 0 {
		delete(t.sparse, domain)
	}
}

// domains are the topology domains that exist for some spread constraints: those
// with a node that has all the labels and that the constraints' policies do not
// leave out. Constraints that see the same nodes share it.
type domains struct {
	// nodes counts the eligible nodes of each domain.
	nodes tally
	// keys are all topology keys of the class: a node must have each of them to
	// be eligible.
	keys []int
	// eligible: node kind -> whether such nodes count, by the policies below.
	eligible                   []bool
	pod                        *corev1.Pod
	honorAffinity, honorTaints bool

	spreads []*spread
}

func (d *domains) add(domain int32) {
	d.nodes.add(domain, 1)
	if d.nodes.at(domain) == 1 {
		for _, s := range d.spreads {
			s.appear(domain)
		}
	}
}

// remove takes out a node whose pods are not counted any more.
func (d *domains) remove(domain int32) {
	d.nodes.add(domain, -1)
	if d.nodes.at(domain) == 0 {
		for _, s := range d.spreads {
			s.vanish(domain)
		}
	}
}

// spread is the state of one spread constraint of one class: how many pods that
// it is about are in each domain, and the least of these numbers.
type spread struct {
	domains *domains
	counts  tally
	// histogram: number of pods -> existing domains with that many; low is a
	// number below which there are none.
	histogram []int32
	low       int32
	existing  int32 // domains
	// phantoms are domains that count though they have no node, see Reach.
	phantoms []int32

	maxSkew, minDomains int32
	// self says that the constraint is about the pods of its own class.
	self bool
}

func (s *spread) bucket(count int32) *int32 {
	for int(count) >= len(s.histogram) {
		s.histogram = append(s.histogram, 0)
	}
	return &s.histogram[count]
}

// addPods counts n more pods on an eligible node of the domain.
func (s *spread) addPods(domain, n int32) {
	was := s.counts.at(domain)
	s.counts.add(domain, n)
	*s.bucket(was)--
	*s.bucket(was + n)++
	s.low = min(s.low, was+n)
}

func (s *spread) appear(domain int32) {
	if slices.Contains(s.phantoms, domain) {
		return
	}
	s.existing++
	count := s.counts.at(domain)
	*s.bucket(count)++
	s.low = min(s.low, count)
}

func (s *spread) vanish(domain int32) {
	if slices.Contains(s.phantoms, domain) {
		return
	}
	s.existing--
	*s.bucket(s.counts.at(domain))--
}

// least is the number of pods in the emptiest domain, as plugin
// PodTopologySpread has it: 0 while there are fewer domains than minDomains.
func (s *spread) least() int32 {
	if s.existing < s.minDomains {
		return 0
	}
	if s.existing == 0 {
		return math.MaxInt32
	}
	for s.low < int32(len(s.histogram)) && s.histogram[s.low] == 0 {
		s.low++
	}
	return s.low
}

// allows reports whether one more pod of the class may go into the domain.
func (s *spread) allows(domain int32) bool {
	if domain < 0 {
		return false
	}
	one := int32(0)
	if s.self {
		one = 1
	}
	return s.counts.at(domain)+one-s.least() <= s.maxSkew
}
