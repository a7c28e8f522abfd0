package awssim

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// A world whose reads are stale remembers what it was like before each change,
// for as long as Weather.Stale, and answers a read from a random moment of that
// time. Two reads in a row may so show the later state first, as two replicas
// of a service do. Writes act on what is.

// moment is what the world was like until a change.
type moment struct {
	until time.Time
	world *World
}

// changingLocked remembers the present before something changes it. Of several
// changes at one time the state before the first is kept: nobody could have read
// those between.
func (w *World) changingLocked() {
	if w.Weather.Stale <= 0 {
		return
	}
	now := time.Now()
	w.moments = slices.DeleteFunc(w.moments, func(m moment) bool { return now.Sub(m.until) > w.Weather.Stale })
	if n := len(w.moments); n == 0 || w.moments[n-1].until.Before(now) {
		w.moments = append(w.moments, moment{now, w.copyLocked()})
	}
}

// settledLocked makes all there is be there for long.
func (w *World) settledLocked() { w.moments = nil }

// Oracle is a role whose reads are always of now: the eye of a test that judges what
// others make of old answers.
const Oracle = "oracle"

// seenLocked is the world that a read sees. The pages of one listing are of one
// world.
func (w *World) seenLocked(req *request) *World {
	if w.Weather.Stale <= 0 || !isRead(req) || req.caller.role == Oracle {
		return w
	}
	key := req.service + " " + req.action + " " + req.caller.role
	if last := w.paging[key]; last != nil && continues(req) {
		return last
	}
	seen := w.beforeLocked(time.Now().Add(-w.someLocked(w.Weather.Stale)))
	seen.faults = w.faults
	w.paging[key] = seen
	return seen
}

func (w *World) beforeLocked(at time.Time) *World {
	for _, m := range w.moments {
		if m.until.After(at) {
			return m.world
		}
	}
	return w
}

// isRead reports that an action is one of those that may show what was. The
// answers of KMS, STS, IAM and SQS are always of now.
func isRead(req *request) bool {
	switch req.service {
	case "ec2", "autoscaling":
		return strings.HasPrefix(req.action, "Describe")
	case "ssm":
		return strings.HasPrefix(req.action, "Describe") || strings.HasPrefix(req.action, "Get")
	}
	return false
}

// continues reports that a request asks for a further page.
func continues(req *request) bool {
	if len(req.body) == 0 {
		return req.form.has("NextToken")
	}
	in, err := peek[struct{ NextToken string }](req)
	return err == nil && in.NextToken != ""
}

// copyLocked copies what reads show. The rest is shared.
func (w *World) copyLocked() *World {
	c := &World{
		Region: w.Region, AccountID: w.AccountID, VPCID: w.VPCID, Zones: w.Zones, CIDR: w.CIDR, Timing: w.Timing, Weather: w.Weather, Log: w.Log,
		Seed: w.Seed, NoInstanceIdentity: w.NoInstanceIdentity,
		random: w.random, chance: w.chance, serial: w.serial, faults: w.faults, sessions: w.sessions, roles: w.roles, trusts: w.trusts,
		madeRoles: w.madeRoles, profiles: w.profiles, policies: w.policies, keys: w.keys, aliases: w.aliases, types: w.types, subnets: w.subnets,
		queues: w.queues, launches: w.launches, past: slices.Clone(w.past),
		instances: map[string]*instance{}, order: slices.Clone(w.order), groups: map[string]*group{}, templates: copies(w.templates, copyTemplate),
		params: copies(w.params, copyParameter), tags: map[string]map[string]string{}, images: copies(w.images, copyImage),
		snapshots: copies(w.snapshots, copySnapshot), volumes: copies(w.volumes, copyVolume), keyPairs: copies(w.keyPairs, copyKeyPair),
		securityGroups: copies(w.securityGroups, copySecurityGroup),
	}
	c.once.Do(func() {}) // it is set up
	for id, tags := range w.tags {
		c.tags[id] = maps.Clone(tags)
	}
	for id, i := range w.instances {
		c.instances[id] = copyInstance(i)
	}
	for name, g := range w.groups {
		c.groups[name] = c.copyGroup(g)
	}
	return c
}

func copies[T any](m map[string]*T, one func(*T) *T) map[string]*T {
	out := make(map[string]*T, len(m))
	for k, v := range m {
		out[k] = one(v)
	}
	return out
}

func shallow[T any](v *T) *T {
	c := *v
	return &c
}

func copyImage(m *Image) *Image {
	c := m.clone()
	return &c
}

func copyTemplate(t *launchTemplate) *launchTemplate {
	c := shallow(t)
	c.versions, c.tags = slices.Clone(t.versions), maps.Clone(t.tags)
	return c
}

func copyParameter(p *parameter) *parameter {
	c := shallow(p)
	c.versions, c.tags = nil, maps.Clone(p.tags)
	for _, v := range p.versions {
		v = shallow(v)
		v.labels = slices.Clone(v.labels)
		c.versions = append(c.versions, v)
	}
	return c
}

func copySnapshot(s *snapshot) *snapshot {
	c := shallow(s)
	c.tags = maps.Clone(s.tags)
	return c
}

func copyVolume(v *volume) *volume {
	c := shallow(v)
	c.tags = maps.Clone(v.tags)
	return c
}

func copyKeyPair(k *keyPair) *keyPair {
	c := shallow(k)
	c.tags = maps.Clone(k.tags)
	return c
}

func copySecurityGroup(s *securityGroup) *securityGroup {
	c := shallow(s)
	c.ingress, c.tags = slices.Clone(s.ingress), maps.Clone(s.tags)
	return c
}

func copyInstance(i *instance) *instance {
	c := shallow(i)
	c.Instance, c.volumes = i.Instance.clone(), slices.Clone(i.volumes)
	return c
}

// copyGroup copies a group into the world c, whose instances are copied.
func (c *World) copyGroup(g *group) *group {
	out := shallow(g)
	out.tags, out.hooks, out.suspended = slices.Clone(g.tags), slices.Clone(g.hooks), slices.Clone(g.suspended)
	if g.pool != nil {
		out.pool = shallow(g.pool)
	}
	if g.template != nil {
		out.template = c.templates[g.template.id]
	}
	out.members, out.activities, out.refreshes = nil, nil, nil
	for _, m := range g.members {
		m = shallow(m)
		if i := c.instances[m.inst.ID]; i != nil {
			m.inst = i
		} else { // forgotten by EC2
			m.inst = copyInstance(m.inst)
		}
		out.members = append(out.members, m)
	}
	for _, a := range g.activities {
		out.activities = append(out.activities, shallow(a))
	}
	for _, r := range g.refreshes {
		r = shallow(r)
		r.todo = slices.Clone(r.todo)
		out.refreshes = append(out.refreshes, r)
	}
	return out
}

// Settle makes all that was done so far be seen by every read from now on, as
// what was done long ago is.
func (w *World) Settle() {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settledLocked()
}
