package expectation

import (
	"fmt"
	"maps"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// health finds the groups that are too unhealthy to grow: more of their members are no
// usable nodes, though they had the time for it, than a few accidents explain.
func (j *judgement) health() {
	before, limits := j.l.unhealthy, j.s.UnreadyLimits()
	j.l.unhealthy = map[string]string{}
	for i := range j.s.Groups() {
		g := &j.s.Groups()[i]
		members, bad := 0, 0
		for k := range g.Instances {
			in := &g.Instances[k]
			if in.Leaving() || in.OutOfService() {
				continue
			}
			members++
			if j.sick(in) {
				bad++
			}
		}
		if limits.Exceeded(bad, members) {
			j.l.unhealthy[g.Name] = fmt.Sprintf("%d of its %d instances are no Ready nodes: it grows again when fewer are", bad, members)
		}
	}
	j.l.changed = j.l.changed || !maps.Equal(before, j.l.unhealthy)
}

// sick reports whether a member is no usable node and is not expected to become one.
func (j *judgement) sick(in *cluster.Instance) bool {
	if st := j.nodes[in.ID]; st != nil {
		return st.Kind == cluster.Joined && !st.Ready()
	}
	at, met := j.l.met[in.ID]
	return met && j.now.Sub(at) > j.l.o.Timeout
}
