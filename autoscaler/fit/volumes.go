package fit

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// namedVolume is a volume that a class names, with its driver's place in dims.
type namedVolume struct {
	cluster.Volume
	dim int
}

// driversOf are the CSI drivers of a class's volumes.
func driversOf(c *cluster.Class) (drivers []string) {
	if c.Volumes == nil {
		return nil
	}
	for _, a := range c.Volumes.Attach {
		drivers = append(drivers, a.Driver)
	}
	for _, v := range c.Volumes.Named {
		drivers = append(drivers, v.Driver)
	}
	return drivers
}

// measureVolumes works out how many volumes of each driver the node takes, and how
// many it has. A driver that names no limit takes any number.
func (l *Ledger) measureVolumes(st *cluster.NodeState, whole, used []int64) {
	limited := false
	for i, name := range l.dims[l.drivers:] {
		whole[i], used[i] = math.MaxInt64/4, 0
		if limit, ok := st.AttachLimits[string(name)]; ok && l.static.ask.enabled(names.NodeVolumeLimits) {
			whole[i], limited = int64(limit), true
		}
	}
	if !limited {
		return
	}
	for v := range l.s.VolumesOn(st) {
		if i := slices.Index(l.dims[l.drivers:], corev1.ResourceName(v.Driver)); i >= 0 {
			used[i]++
		}
	}
}

// nameVolumes takes in the volumes that the class names.
func (l *Ledger) nameVolumes(k *class) {
	if k.c.Volumes == nil {
		return
	}
	for _, v := range k.c.Volumes.Named {
		if l.named == nil {
			l.named = map[cluster.Volume]bool{}
		}
		l.named[v] = true
		k.named = append(k.named, namedVolume{v, slices.Index(l.dims, corev1.ResourceName(v.Driver))})
	}
}

// namedOn are the volumes on the node that some class names, nil when none is.
func (l *Ledger) namedOn(st *cluster.NodeState) map[cluster.Volume]cluster.Held {
	if len(st.AttachLimits) == 0 {
		return nil
	}
	var on map[cluster.Volume]cluster.Held
	for v, h := range l.s.VolumesOn(st) {
		if !l.named[v] {
			continue
		}
		if on == nil {
			on = map[cluster.Volume]cluster.Held{}
		}
		on[v] = h
	}
	return on
}

// asks is what a pod of the class takes of a dimension on the node: a volume that a
// pod there uses already is not attached twice. One that is only attached counts
// twice until the pod is there, as it does for the scheduler.
func (l *Ledger) asks(k *class, n int32, dim int) int64 {
	q := k.req[dim]
	for _, v := range k.named {
		if v.dim == dim && l.nodes[n].volumes[v.Volume].Pods == 0 {
			q++
		}
	}
	return q
}

// attaches reports whether the node takes all volumes of one more pod.
func (l *Ledger) attaches(k *class, n int32) bool {
	free := l.Free(n)
	for _, v := range k.named {
		if q := l.asks(k, n, v.dim); q > 0 && q > free[v.dim] {
			return false
		}
	}
	return true
}

// putNamed changes the books of the volumes that n more pods of the class name, or
// fewer.
func (l *Ledger) putNamed(k *class, node, n int32) {
	nd, free := &l.nodes[node], l.Free(node)
	for _, v := range k.named {
		if nd.volumes == nil {
			nd.volumes = map[cluster.Volume]cluster.Held{}
		}
		before := nd.volumes[v.Volume]
		after := before
		after.Pods += n
		nd.volumes[v.Volume] = after
		switch {
		case after.Attached:
		case before.Pods == 0 && after.Pods > 0:
			free[v.dim]--
		case before.Pods > 0 && after.Pods == 0:
			free[v.dim]++
		}
	}
}
