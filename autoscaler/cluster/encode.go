package cluster

import (
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// encoder writes what kube-scheduler's filters see of a pod in a form in which
// equal pods give equal bytes. It is written by hand because a planner encodes
// every pod of a cluster: encoding/json costs ten times as much. Every list and
// string is preceded by its length, so no two pods run into each other.
type encoder struct {
	buf  []byte
	keys []string
}

func (e *encoder) num(v int64) { e.buf = binary.AppendVarint(e.buf, v) }

func (e *encoder) str(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) strs(list []string) {
	e.num(int64(len(list)))
	for _, s := range list {
		e.str(s)
	}
}

func (e *encoder) flag(b bool) {
	if b {
		e.buf = append(e.buf, 1)
	} else {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) labels(m map[string]string) {
	e.keys = e.keys[:0]
	for k := range m {
		e.keys = append(e.keys, k)
	}
	slices.Sort(e.keys)
	e.num(int64(len(e.keys)))
	for _, k := range e.keys {
		e.str(k)
		e.str(m[k])
	}
}

// list writes a resource list. Quantities that are equal in value are written
// alike, whatever their notation.
func (e *encoder) list(l corev1.ResourceList) {
	e.num(int64(len(l)))
	switch len(l) {
	case 0:
		return
	case 1, 2:
		// The usual lists need no sorting.
		rest := len(l)
		for _, name := range [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := l[name]; ok {
				e.quantity(string(name), q)
				rest--
			}
		}
		if rest == 0 {
			return
		}
	}
	names := make([]string, 0, len(l))
	for name := range l {
		names = append(names, string(name))
	}
	slices.Sort(names)
	for _, name := range names {
		e.quantity(name, l[corev1.ResourceName(name)])
	}
}

func (e *encoder) quantity(name string, q resource.Quantity) {
	e.str(name)
	if name == string(corev1.ResourceCPU) {
		e.num(q.MilliValue())
		return
	}
	e.num(q.Value())
}

// pod writes the pod. A daemon's pod is bound to its node by its affinity and
// never looks for another one: without these it is like its sisters.
func (e *encoder) pod(pod *corev1.Pod, daemon bool) {
	e.buf = e.buf[:0]
	spec := &pod.Spec
	e.str(pod.Namespace)
	e.labels(pod.Labels)
	e.priority(spec.Priority)
	e.containers(spec.Containers)
	e.containers(spec.InitContainers)
	e.list(spec.Overhead)
	if spec.Resources != nil {
		e.list(spec.Resources.Requests)
		e.list(spec.Resources.Limits)
	}
	e.flag(spec.HostNetwork)
	e.resized(pod)
	e.podAffinity(spec.Affinity)
	e.flag(daemon)
	if daemon {
		return
	}
	e.nodeNeeds(spec)
	e.spread(spec.TopologySpreadConstraints)
	e.flag(spec.SchedulingGroup != nil)
	e.num(int64(len(spec.ResourceClaims)))
	e.volumes(spec.Volumes)
}

func (e *encoder) priority(p *int32) {
	if p == nil {
		e.num(0)
		return
	}
	e.num(int64(*p))
}

func (e *encoder) containers(list []corev1.Container) {
	e.num(int64(len(list)))
	for i := range list {
		c := &list[i]
		e.list(c.Resources.Requests)
		e.flag(c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways)
		e.ports(c.Ports)
	}
}

func (e *encoder) ports(list []corev1.ContainerPort) {
	n := 0
	for i := range list {
		if list[i].HostPort > 0 {
			n++
		}
	}
	e.num(int64(n))
	if n == 0 {
		return
	}
	for i := range list {
		if p := &list[i]; p.HostPort > 0 {
			e.num(int64(p.HostPort))
			e.str(string(p.Protocol))
			e.str(p.HostIP)
		}
	}
}

// resized writes the requests that the status names, where they are others than
// the spec's.
func (e *encoder) resized(pod *corev1.Pod) {
	if !isResized(pod) {
		e.flag(false)
		return
	}
	e.flag(true)
	a := requests(pod, true)
	e.num(a.MilliCPU)
	e.num(a.Memory)
}

func isResized(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		cs := &pod.Status.ContainerStatuses[i]
		if cs.Resources == nil && len(cs.AllocatedResources) == 0 {
			continue
		}
		for j := range pod.Spec.Containers {
			if c := &pod.Spec.Containers[j]; c.Name == cs.Name {
				if differ(c.Resources.Requests, cs.AllocatedResources) || cs.Resources != nil && differ(c.Resources.Requests, cs.Resources.Requests) {
					return true
				}
			}
		}
	}
	return false
}

func differ(spec, status corev1.ResourceList) bool {
	for name, q := range status {
		if have, ok := spec[name]; !ok || have.Cmp(q) != 0 {
			return true
		}
	}
	return false
}
