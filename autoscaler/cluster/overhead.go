package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/kube"
)

// NodePod is a pod that each node of a group has beside those that were sent to it: of a
// DaemonSet, or a static one of the image.
type NodePod struct {
	// Namespace and Name of the DaemonSet, or of the static pod without its node.
	Namespace, Name string
	DaemonSet       bool `json:",omitempty"`
	// Generation is of which template of the DaemonSet the pod was; empty when not known.
	Generation string `json:",omitempty"`
	Requests   Amounts
	// Ports are the host ports of a static pod.
	Ports []HostPort `json:",omitempty"`
}

// generationLabel holds on a pod which template of its DaemonSet it was made of. Source:
// k8s.io/api/extensions/v1beta1.DaemonSetTemplateGenerationKey.
const generationLabel = "pod-template-generation"

// Same reports whether both are the same pod of two nodes, whatever it requests there.
func (p *NodePod) Same(o *NodePod) bool {
	return p.DaemonSet == o.DaemonSet && p.Namespace == o.Namespace && p.Name == o.Name && p.Generation == o.Generation
}

// Compare orders NodePods by what Same compares.
func (p *NodePod) Compare(o *NodePod) int {
	kind := func(p *NodePod) int {
		if p.DaemonSet {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(kind(p), kind(o)), cmp.Compare(p.Namespace, o.Namespace), cmp.Compare(p.Name, o.Name), cmp.Compare(p.Generation, o.Generation))
}

// NodePods returns the pods on the node that each node of its group has. They are looked
// for when pods of the node have changed. The slice must not be changed.
func (c *Cache) NodePods(node string) []NodePod {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.residents[node]
	if r == nil {
		return nil
	}
	if r.ofNodeAt == r.version {
		return r.ofNode
	}
	r.ofNode, r.ofNodeAt = nil, r.version
	for i := range r.pods {
		if p, ok := nodePod(&r.pods[i], node); ok {
			r.ofNode = append(r.ofNode, p)
		}
	}
	return r.ofNode
}

func nodePod(p *Pod, node string) (NodePod, bool) {
	out := NodePod{Namespace: p.Namespace, Requests: p.Class.Requests, Ports: p.Class.Ports}
	if kube.DaemonSetOf(p.Pod) != "" {
		out.DaemonSet, out.Ports = true, nil
		out.Name, out.Generation = metav1.GetControllerOfNoCopy(p.Pod).Name, p.Labels[generationLabel]
		return out, true
	}
	name, ok := strings.CutSuffix(p.Name, "-"+node)
	out.Name = name
	return out, ok && kube.MirrorPod(p.Pod)
}

// local is what a group's nodes told about the pods that each of them has.
type local struct {
	// told is what it was made of, for the daemons of generation gen.
	told []NodePod
	gen  int
	// daemons are those of the cluster, with what their pods request on these nodes.
	daemons []daemon
	// static are the static pods, named without a node.
	static []Pod
}

// setLocal works out what the pods of the groups' nodes are like. What did not change
// since the snapshot before is kept.
func (c *Cache) setLocal(groups []Group) {
	before := c.local
	c.local = make(map[string]*local, len(before))
	for i := range groups {
		g := &groups[i]
		if g.Template == nil || len(g.Template.NodePods) == 0 {
			continue
		}
		old := before[g.Name]
		if old != nil && old.gen == c.daemonsGen && slices.EqualFunc(old.told, g.Template.NodePods, sameNodePod) {
			c.local[g.Name] = old
			continue
		}
		c.local[g.Name] = c.newLocal(g.Template.NodePods)
		c.localGen++
	}
	// Snapshots have the map before: it is not changed.
	for name, old := range before {
		if c.local[name] != old {
			c.releaseLocal(old)
			c.localGen++
		}
	}
}

func sameNodePod(a, b NodePod) bool {
	return a.Same(&b) && a.Requests.equal(&b.Requests) && slices.Equal(a.Ports, b.Ports)
}

func (c *Cache) newLocal(told []NodePod) *local {
	l := &local{told: told, gen: c.daemonsGen, daemons: slices.Clone(c.daemons)}
	for i := range l.daemons {
		d := &l.daemons[i]
		at := slices.IndexFunc(told, func(p NodePod) bool { return d.isOf(&p) })
		if at >= 0 && !told[at].Requests.equal(&d.class.Requests) {
			d.pod = withRequests(&d.pod, &told[at].Requests)
		}
		d.class = c.classes.of(&d.pod)
	}
	for i := range told {
		if !told[i].DaemonSet {
			pod := staticPod(&told[i])
			l.static = append(l.static, Pod{Pod: pod, Class: c.classes.of(pod), is: bound})
		}
	}
	return l
}

func (c *Cache) releaseLocal(l *local) {
	for i := range l.daemons {
		c.classes.release(l.daemons[i].class)
	}
	for i := range l.static {
		c.classes.release(l.static[i].Class)
	}
}

// isOf reports whether p tells about the pods that the DaemonSet makes now.
func (d *daemon) isOf(p *NodePod) bool {
	if !p.DaemonSet || p.Namespace != d.set.Namespace || p.Name != d.set.Name {
		return false
	}
	now := d.set.Annotations[appsv1.DeprecatedTemplateGeneration]
	return p.Generation == "" || now == "" || p.Generation == now
}

// withRequests returns the pod with other requests, all of them its first container's.
func withRequests(pod *corev1.Pod, a *Amounts) corev1.Pod {
	out := *pod
	out.Spec.Containers = slices.Clone(pod.Spec.Containers)
	for i := range out.Spec.Containers {
		out.Spec.Containers[i].Resources = corev1.ResourceRequirements{}
	}
	out.Spec.InitContainers, out.Spec.Overhead, out.Spec.Resources = nil, nil, nil
	if len(out.Spec.Containers) == 0 {
		out.Spec.Containers = make([]corev1.Container, 1)
	}
	out.Spec.Containers[0].Resources.Requests = a.list()
	return out
}

// staticPod is the API server's picture of a static pod of any node.
func staticPod(p *NodePod) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: p.Namespace, Name: p.Name, Annotations: kube.MirrorAnnotations(),
	}}
	c := corev1.Container{Name: p.Name, Resources: corev1.ResourceRequirements{Requests: p.Requests.list()}}
	for _, port := range p.Ports {
		c.Ports = append(c.Ports, corev1.ContainerPort{HostPort: port.Port, ContainerPort: port.Port, Protocol: port.Protocol, HostIP: port.IP})
	}
	pod.Spec.Containers = []corev1.Container{c}
	return pod
}

// daemonsOf are the daemons as they are on the nodes of a group.
func (s *Snapshot) daemonsOf(group string) []daemon {
	if l := s.local[group]; l != nil {
		return l.daemons
	}
	return s.daemons
}

// staticOf are the static pods that a node of a group does not have yet.
func (s *Snapshot) staticOf(group, node string, residents []Pod) []Pod {
	if l := s.local[group]; l != nil {
		return l.missingStatic(node, residents)
	}
	return nil
}

// missingStatic returns the static pods of the group's nodes that the node does not have.
func (l *local) missingStatic(node string, residents []Pod) []Pod {
	var out []Pod
	for _, s := range l.static {
		name := s.Name + "-" + node
		if slices.ContainsFunc(residents, func(p Pod) bool { return p.Name == name && p.Namespace == s.Namespace }) {
			continue
		}
		pod := *s.Pod
		pod.Name, pod.Spec.NodeName = name, node
		pod.UID = types.UID("static/" + pod.Namespace + "/" + name)
		out = append(out, Pod{Pod: &pod, Class: s.Class, is: bound})
	}
	return out
}

// list words the amounts as requests.
func (a *Amounts) list() corev1.ResourceList {
	out := corev1.ResourceList{}
	if a.MilliCPU > 0 {
		out[corev1.ResourceCPU] = *resource.NewMilliQuantity(a.MilliCPU, resource.DecimalSI)
	}
	for name, v := range map[corev1.ResourceName]int64{corev1.ResourceMemory: a.Memory, corev1.ResourceEphemeralStorage: a.EphemeralStorage} {
		if v > 0 {
			out[name] = *resource.NewQuantity(v, resource.BinarySI)
		}
	}
	for _, s := range a.Scalar {
		out[s.Name] = *resource.NewQuantity(s.Value, resource.DecimalSI)
	}
	return out
}

// equal reports whether both are the same, a resource of which there is none left out.
func (a *Amounts) equal(b *Amounts) bool {
	some := func(a *Amounts) map[corev1.ResourceName]int64 {
		out := make(map[corev1.ResourceName]int64, len(a.Scalar))
		for _, s := range a.Scalar {
			if s.Value != 0 {
				out[s.Name] = s.Value
			}
		}
		return out
	}
	return a.MilliCPU == b.MilliCPU && a.Memory == b.Memory && a.EphemeralStorage == b.EphemeralStorage && a.Pods == b.Pods &&
		(len(a.Scalar)+len(b.Scalar) == 0 || maps.Equal(some(a), some(b)))
}
