package cluster

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/joinery/joinery/internal/kube"
)

// Class is what kube-scheduler's filters see of a pod: all pods of a class fit on
// the same nodes. A class is never changed once it is made.
type Class struct {
	// ID is small and different from that of every other class of the snapshot.
	// It says nothing about the order of classes.
	ID int
	// Key is the same for equal classes, whatever the order of events.
	Key string
	// Exemplar is one of the pods.
	Exemplar *corev1.Pod
	Requests Amounts
	Priority int32
	// Ports are the host ports that the pod takes.
	Ports []HostPort
	// Spread are the spread constraints that may not be violated.
	Spread []Spread
	// Affinity and AntiAffinity are the required terms towards other pods.
	Affinity, AntiAffinity []Term
	// Claims says that the pod has volumes whose claims decide where it runs.
	Claims bool
	// Volumes is what the claims of the class's only pod need. Nil when there are
	// none, or when they have not been looked up (see Snapshot.WithVolumes).
	Volumes *VolumeNeeds
	// Unsupported says why the pod cannot be planned at all, empty when it can.
	Unsupported string

	static string
	refs   int
}

// Expendable reports whether the pods' priority is below the cut-off, see
// ExpendablePriority.
func (c *Class) Expendable() bool { return c.Priority < ExpendablePriority }

// StaticKey is the same for classes whose pods suit the same nodes as far as
// labels, taints and the places of volumes decide it.
func (c *Class) StaticKey() string {
	if c.Volumes == nil {
		return c.static
	}
	return c.static + "\x00" + c.Volumes.Text
}

// HostPort is a port of the node that a pod takes.
type HostPort struct {
	Port     int32
	Protocol corev1.Protocol
	IP       string
}

// Conflicts reports whether two pods with these ports cannot share a node: the
// same port and protocol on the same address, or on all addresses.
func (p HostPort) Conflicts(o HostPort) bool {
	const all = "0.0.0.0"
	return p.Port == o.Port && p.Protocol == o.Protocol && (p.IP == o.IP || p.IP == all || o.IP == all)
}

// Spread is a topology spread constraint with whenUnsatisfiable DoNotSchedule.
type Spread struct {
	TopologyKey string
	MaxSkew     int
	// MinDomains is 1 when the pod does not name it.
	MinDomains                     int
	Selector                       labels.Selector
	HonorNodeAffinity, HonorTaints bool
}

// Term is a required affinity or anti-affinity term.
type Term struct {
	TopologyKey string
	// Namespaces are by name; NamespaceSelector adds to them and may be nil.
	Namespaces        []string
	NamespaceSelector labels.Selector
	Selector          labels.Selector
	// Text is the same for equal terms.
	Text string
}

// Matches reports whether the term is about a pod with these labels in this
// namespace, whose own labels are given.
func (t *Term) Matches(pod *corev1.Pod, namespace labels.Set) bool {
	if !slices.Contains(t.Namespaces, pod.Namespace) && (t.NamespaceSelector == nil || !t.NamespaceSelector.Matches(namespace)) {
		return false
	}
	return t.Selector.Matches(labels.Set(pod.Labels))
}

// classes keeps the classes of the pods that are known.
type classes struct {
	byKey   map[string]*Class
	statics map[string]string // static keys, each held once
	free    []int             // ids that may be given again
	next    int
	enc     encoder
}

func newClasses() *classes { return &classes{byKey: map[string]*Class{}, statics: map[string]string{}} }

// of gives the class of the pod and counts the pod in. The caller gives it back
// with release.
func (cs *classes) of(pod *corev1.Pod) *Class {
	daemon := kube.DaemonSetPod(pod)
	cs.enc.pod(pod, daemon)
	if c := cs.byKey[string(cs.enc.buf)]; c != nil {
		c.refs++
		return c
	}
	c := newClass(pod, string(cs.enc.buf), daemon)
	c.static, c.refs = cs.staticKey(pod), 1
	if n := len(cs.free); n > 0 {
		c.ID, cs.free = cs.free[n-1], cs.free[:n-1]
	} else {
		c.ID, cs.next = cs.next, cs.next+1
	}
	cs.byKey[c.Key] = c
	return c
}

// staticKey gives what nodeNeeds writes of the pod. Few classes have their own, so
// the strings are shared.
func (cs *classes) staticKey(pod *corev1.Pod) string {
	cs.enc.buf = cs.enc.buf[:0]
	cs.enc.nodeNeeds(&pod.Spec)
	if have, ok := cs.statics[string(cs.enc.buf)]; ok {
		return have
	}
	if len(cs.statics) > 2*len(cs.byKey)+1000 {
		clear(cs.statics)
	}
	key := string(cs.enc.buf)
	cs.statics[key] = key
	return key
}

func (cs *classes) release(c *Class) {
	if c.refs--; c.refs > 0 {
		return
	}
	delete(cs.byKey, c.Key)
	cs.free = append(cs.free, c.ID)
}

func newClass(pod *corev1.Pod, key string, daemon bool) *Class {
	c := &Class{
		Key: key, Exemplar: pod, Requests: requests(pod, isResized(pod)), Priority: corev1helpers.PodPriority(pod),
		Ports: hostPorts(pod), Claims: hasClaims(pod), Unsupported: unsupported(pod),
	}
	if err := c.parse(pod, daemon); err != nil {
		c.Unsupported = err.Error()
	}
	return c
}

func (c *Class) parse(pod *corev1.Pod, daemon bool) error {
	var err error
	if a := pod.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			if c.Affinity, err = terms(pod, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
				return fmt.Errorf("podAffinity: %w", err)
			}
		}
		if a.PodAntiAffinity != nil {
			if c.AntiAffinity, err = terms(pod, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
				return fmt.Errorf("podAntiAffinity: %w", err)
			}
		}
	}
	if daemon {
		return nil
	}
	if c.Spread, err = spreads(pod); err != nil {
		return fmt.Errorf("topologySpreadConstraints: %w", err)
	}
	return nil
}

func hostPorts(pod *corev1.Pod) []HostPort {
	if len(pod.Spec.InitContainers) == 0 && !slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return len(c.Ports) > 0 }) {
		return nil
	}
	var ports []HostPort
	for _, p := range schedutil.GetHostPorts(pod) {
		if p.HostPort > 0 {
			ports = append(ports, HostPort{Port: p.HostPort, Protocol: orTCP(p.Protocol), IP: orAll(p.HostIP)})
		}
	}
	return ports
}

func orTCP(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

func orAll(ip string) string {
	if ip == "" {
		return "0.0.0.0"
	}
	return ip
}

func terms(pod *corev1.Pod, list []corev1.PodAffinityTerm) ([]Term, error) {
	out := make([]Term, 0, len(list))
	for i := range list {
		t := &list[i]
		selector, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("[%d].labelSelector: %w", i, err)
		}
		term := Term{TopologyKey: t.TopologyKey, Namespaces: t.Namespaces, Selector: selector}
		switch {
		case t.NamespaceSelector != nil:
			if term.NamespaceSelector, err = metav1.LabelSelectorAsSelector(t.NamespaceSelector); err != nil {
				return nil, fmt.Errorf("[%d].namespaceSelector: %w", i, err)
			}
		case len(t.Namespaces) == 0:
			term.Namespaces = []string{pod.Namespace}
		}
		e := encoder{}
		e.str(term.TopologyKey)
		e.strs(slices.Sorted(slices.Values(term.Namespaces)))
		e.selector(t.NamespaceSelector)
		e.selector(t.LabelSelector)
		term.Text = string(e.buf)
		out = append(out, term)
	}
	return out, nil
}

func spreads(pod *corev1.Pod) ([]Spread, error) {
	var out []Spread
	for i := range pod.Spec.TopologySpreadConstraints {
		c := &pod.Spec.TopologySpreadConstraints[i]
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil {
			return nil, fmt.Errorf("[%d].labelSelector: %w", i, err)
		}
		s := Spread{
			TopologyKey: c.TopologyKey, MaxSkew: int(c.MaxSkew), MinDomains: 1,
			Selector: withLabelKeys(selector, c.MatchLabelKeys, pod.Labels), HonorNodeAffinity: true,
		}
		if c.MinDomains != nil {
			s.MinDomains = int(*c.MinDomains)
		}
		if c.NodeAffinityPolicy != nil {
			s.HonorNodeAffinity = *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
		}
		if c.NodeTaintsPolicy != nil {
			s.HonorTaints = *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		}
		out = append(out, s)
	}
	return out, nil
}

// withLabelKeys narrows the selector to pods that share the pod's values of
// matchLabelKeys, as the API server or else the scheduler does.
func withLabelKeys(s labels.Selector, keys []string, own map[string]string) labels.Selector {
	set := labels.Set{}
	for _, k := range keys {
		if v, ok := own[k]; ok {
			set[k] = v
		}
	}
	requirements, selectable := s.Requirements()
	if len(set) == 0 || !selectable {
		return s
	}
	return labels.SelectorFromSet(set).Add(requirements...)
}

// unsupported says why a pod cannot be planned, whatever the cluster looks like.
func unsupported(pod *corev1.Pod) string {
	if len(pod.Spec.ResourceClaims) > 0 {
		return "dynamic resource claims are not supported yet"
	}
	if pod.Spec.SchedulingGroup != nil {
		return "gang scheduling (schedulingGroup) is not supported yet"
	}
	for i := range pod.Spec.Volumes {
		if kind := inlineDisk(&pod.Spec.Volumes[i].VolumeSource); kind != "" {
			return fmt.Sprintf("volumes not supported yet: volume %s is %s", pod.Spec.Volumes[i].Name, kind)
		}
	}
	return ""
}

// inlineDisk names a cloud disk that the pod names itself; empty for other
// volumes. Where such a disk lives is not to be seen in the API server.
func inlineDisk(v *corev1.VolumeSource) string {
	switch {
	case v.AWSElasticBlockStore != nil:
		return "an EBS disk"
	case v.GCEPersistentDisk != nil, v.AzureDisk != nil, v.Cinder != nil:
		return "a disk of another cloud"
	case v.RBD != nil, v.ISCSI != nil:
		return "a network block device"
	}
	return ""
}
