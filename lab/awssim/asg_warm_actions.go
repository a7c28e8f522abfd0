package awssim

import (
	"slices"
)

// putPool makes a group's warm pool or changes its settings; those that are not
// given stay.
func (w *World) putPool(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	if g.pool != nil && g.pool.deleting {
		return nil, fail("ScalingActivityInProgress", "The warm pool of Auto Scaling group %s is being deleted.", g.name)
	}
	next := newPool()
	if g.pool != nil {
		*next = *g.pool
	}
	for name, into := range map[string]*int{"MinSize": &next.min, "MaxGroupPreparedCapacity": &next.maxPrepared} {
		n, given, err := req.form.integer("autoscaling", name)
		if err != nil {
			return nil, err
		}
		if given {
			*into = n
		}
	}
	if state := req.form.str("PoolState"); state != "" {
		next.state = state
	}
	if policy := req.form.sub("InstanceReusePolicy"); policy.has("ReuseOnScaleIn") {
		next.reuse = policy.str("ReuseOnScaleIn") == "true"
	}
	if err := next.check(); err != nil {
		return nil, err
	}
	g.pool = next
	w.reconcileNowLocked(g)
	return nil, nil
}

func (p *pool) check() error {
	switch {
	case p.min < 0:
		return fail("ValidationError", "1 validation error detected: Value '%d' at 'minSize' failed to satisfy constraint: Member must have value greater than or equal to 0", p.min)
	case p.maxPrepared < -1:
		return fail("ValidationError", "1 validation error detected: Value '%d' at 'maxGroupPreparedCapacity' failed to satisfy constraint: Member must have value greater than or equal to -1", p.maxPrepared)
	case !slices.Contains([]string{"Stopped", "Running", "Hibernated"}, p.state):
		return fail("ValidationError", "1 validation error detected: Value '%s' at 'poolState' failed to satisfy constraint: Member must satisfy enum value set: [Stopped, Running, Hibernated]", p.state)
	}
	return nil
}

// setPool takes the settings of a spec; nil deletes the pool.
func (g *group) setPool(spec *WarmPool) error {
	if spec == nil {
		if g.pool != nil {
			g.pool.deleting = true
		}
		return nil
	}
	p := newPool()
	p.min, p.reuse = spec.MinSize, spec.ReuseOnScaleIn
	if spec.MaxPrepared != 0 {
		p.maxPrepared = spec.MaxPrepared
	}
	if spec.State != "" {
		p.state = spec.State
	}
	if err := p.check(); err != nil {
		return err
	}
	g.pool = p
	return nil
}

// view is the pool as the Go API shows it.
func (p *pool) view() *WarmPool {
	if p == nil || p.deleting {
		return nil
	}
	return &WarmPool{MinSize: p.min, MaxPrepared: max(p.maxPrepared, 0), State: p.state, ReuseOnScaleIn: p.reuse}
}

// describePool lists a pool's instances with the pool's settings. A group
// without a pool has neither.
func (w *World) describePool(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	size, err := recordSize(req, 50, 50)
	if err != nil {
		return nil, err
	}
	var members []*member
	for _, m := range g.members {
		if m.warm() {
			members = append(members, m)
		}
	}
	part, next, ok := page(members, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	n := []node{
		elList("Instances", "member", part, func(m *member) any { return memberNodes(g, m, "Healthy", "Unhealthy") }),
		el("NextToken", next),
	}
	if g.pool != nil {
		n = append(n, g.pool.node())
	}
	return n, nil
}

func (p *pool) node() node {
	n := []node{el("MinSize", p.min), el("PoolState", p.state), el("InstanceReusePolicy", []node{el("ReuseOnScaleIn", p.reuse)})}
	if p.maxPrepared >= 0 {
		n = append(n, el("MaxGroupPreparedCapacity", p.maxPrepared))
	}
	if p.deleting {
		n = append(n, el("Status", "PendingDelete"))
	}
	return el("WarmPoolConfiguration", n)
}

// deletePool ends the pool's instances and then the pool. A forced deletion
// waits for no hook.
func (w *World) deletePool(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	if g.pool == nil {
		return nil, fail("ValidationError", "No warm pool found for Auto Scaling group %s", g.name)
	}
	g.pool.deleting = true
	if req.form.str("ForceDelete") == "true" {
		for _, m := range slices.Clone(g.members) {
			switch {
			case !m.warm():
			case !m.leaving():
				w.leaveLocked(g, m, "instance "+m.inst.ID+" was taken out of the warm pool in response to a user request to delete the warm pool", false)
			case len(m.waits) > 0:
				w.proceedLocked(g, m, false)
			}
		}
	}
	w.reconcileNowLocked(g)
	return nil, nil
}
