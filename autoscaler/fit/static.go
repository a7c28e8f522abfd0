package fit

import (
	"encoding/binary"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Brakes says why new nodes of groups are not to be bought for pods of a class,
// whatever suits them there: group -> reason.
type Brakes func(*cluster.Class) map[string]string

// statics answers what labels, taints and names of nodes decide, whatever runs on
// them. Nodes that are alike in all that a class of the plan looks at are one
// kind, and the scheduler's plugins are asked once for each class and kind.
type statics struct {
	ask *staticFilter
	// keys are the labels that some class looks at.
	keys map[string]bool
	// byName says that some class looks at the name of a node, byCSI that one looks
	// at what CSI drivers say about it.
	byName, byCSI bool
	sorted        []string
	kinds         map[string]int32
	nodes         []*cluster.NodeState // kind -> one of its nodes
	of            []string             // kind -> group, of new nodes that some class is refused; else empty
	// refuses is Brakes; groups are those that some class is refused.
	refuses Brakes
	groups  map[string]bool
	// doubts are the classes that are distrusted somewhere, by key, distrusted the
	// nodes: class -> node.
	doubts     []string
	distrusted map[string]map[string]bool
	needs      map[string]*need
	buf        []byte
}

// need is what classes with the same static needs share.
type need struct {
	// key is the same for classes that share the need, and for no others.
	key    string
	class  *cluster.Class
	pod    *corev1.Pod // the exemplar without a node
	answer []int8      // kind -> 0 not asked, 1 yes, -1 no
	// refused: group -> why its new nodes are not for the class.
	refused map[string]string
	// doubted are nodes that are distrusted for the class; nil for none. A class with
	// either shares its needs with no other.
	doubted map[string]bool
}

func newStatics(ask *staticFilter, distrusted map[string][]string) *statics {
	s := &statics{ask: ask, keys: map[string]bool{}, groups: map[string]bool{}, kinds: map[string]int32{}, needs: map[string]*need{}}
	if len(distrusted) > 0 {
		s.distrusted = make(map[string]map[string]bool, len(distrusted))
		for class, nodes := range distrusted {
			s.doubts = append(s.doubts, class)
			s.distrusted[class] = make(map[string]bool, len(nodes))
			for _, n := range nodes {
				s.distrusted[class][n] = true
			}
		}
		slices.Sort(s.doubts)
	}
	if added := ask.addedAffinity; added != nil {
		s.lookAt(added)
	}
	return s
}

// needOf gives the shared static needs of a class and notes what labels they are
// about. All classes must be known before the first kind is asked for.
func (s *statics) needOf(c *cluster.Class) *need {
	key, doubted := c.StaticKey(), s.distrusted[c.Key]
	var refused map[string]string
	if s.refuses != nil {
		refused = s.refuses(c)
	}
	if doubted != nil || len(refused) > 0 {
		key += "\x00" + c.Key
	}
	if n := s.needs[key]; n != nil {
		return n
	}
	pod := *c.Exemplar
	pod.Spec.NodeName = ""
	n := &need{key: key, class: c, pod: &pod, refused: refused, doubted: doubted}
	for group := range refused {
		s.groups[group] = true
	}
	s.needs[key] = n
	for k := range pod.Spec.NodeSelector {
		s.keys[k] = true
	}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		if required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			s.lookAt(required)
		}
	}
	if c.Volumes != nil {
		keys, name, csi := c.Volumes.LooksAt()
		for _, k := range keys {
			s.keys[k] = true
		}
		s.byName, s.byCSI = s.byName || name, s.byCSI || csi
	}
	return n
}

func (s *statics) lookAt(sel *corev1.NodeSelector) {
	for _, t := range sel.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			s.keys[e.Key] = true
		}
		s.byName = s.byName || len(t.MatchFields) > 0
	}
}

// kindOfNew gives the kind of a new node of a group.
func (s *statics) kindOfNew(st *cluster.NodeState, group string) int32 {
	if !s.groups[group] {
		return s.kindOf(st)
	}
	return s.kind(st, group)
}

// kindOf gives the kind of a node.
func (s *statics) kindOf(st *cluster.NodeState) int32 { return s.kind(st, "") }

func (s *statics) kind(st *cluster.NodeState, group string) int32 {
	n := st.Node()
	if s.sorted == nil {
		s.sorted = slices.AppendSeq(make([]string, 0, len(s.keys)), maps.Keys(s.keys))
		slices.Sort(s.sorted)
	}
	s.buf = s.buf[:0]
	s.write(group)
	if n.Spec.Unschedulable {
		s.buf = append(s.buf, 1)
	}
	if s.byName {
		s.write(n.Name)
	}
	if s.byCSI {
		s.write(st.CSIText())
	}
	for i, class := range s.doubts {
		if s.distrusted[class][n.Name] {
			s.buf = binary.AppendUvarint(append(s.buf, 2), uint64(i))
		}
	}
	for i, key := range s.sorted {
		if v, ok := n.Labels[key]; ok {
			s.buf = binary.AppendUvarint(s.buf, uint64(i))
			s.write(v)
		}
	}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		s.buf = append(s.buf, 0)
		s.write(t.Key)
		s.write(t.Value)
		s.write(string(t.Effect))
	}
	if k, ok := s.kinds[string(s.buf)]; ok {
		return k
	}
	k := int32(len(s.nodes))
	s.kinds[string(s.buf)] = k
	s.nodes, s.of = append(s.nodes, st), append(s.of, group)
	return k
}

func (s *statics) write(text string) {
	s.buf = binary.AppendUvarint(s.buf, uint64(len(text)))
	s.buf = append(s.buf, text...)
}

// allows reports whether nodes of the kind suit the class.
func (s *statics) allows(n *need, kind int32) bool {
	for int(kind) >= len(n.answer) {
		n.answer = append(n.answer, 0)
	}
	if n.answer[kind] == 0 {
		n.answer[kind] = -1
		node := s.nodes[kind]
		if n.refused[s.of[kind]] == "" && !n.doubted[node.Name()] && s.ask.refusal(n.pod, node.Node()) == nil && (n.class.Volumes == nil || n.class.Volumes.Refuses(node) == "") {
			n.answer[kind] = 1
		}
	}
	return n.answer[kind] > 0
}

// why says why nodes of the kind do not suit the class, nil when they do.
func (s *statics) why(n *need, kind int32) *Reason {
	node := s.nodes[kind]
	if n.doubted[node.Name()] {
		return &Reason{Message: "the scheduler refuses the pod there, for a reason that is not known here"}
	}
	if r := s.ask.refusal(n.pod, node.Node()); r != nil {
		return r
	}
	if why := n.refused[s.of[kind]]; why != "" {
		return &Reason{Message: why}
	}
	if n.class.Volumes != nil {
		if why := n.class.Volumes.Refuses(node); why != "" {
			return &Reason{Message: why}
		}
	}
	return nil
}
