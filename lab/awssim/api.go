package awssim

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// AddInstance starts an instance outside any group.
func (w *World) AddInstance(spec InstanceSpec) (Instance, error) {
	w.start()
	setDefault(&spec.Type, "t3.medium")
	setDefault(&spec.Zone, w.Zones[0])
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.settledLocked()
	w.knownImageLocked(spec.ImageID)
	interfaces := append([]InterfaceSpec{{PrivateIP: spec.PrivateIP, SecondaryIPs: spec.SecondaryIPs, IPv6: spec.IPv6}}, spec.Interfaces...)
	i, err := w.launchLocked(launch{zone: spec.Zone, vpc: spec.VPCID, interfaces: interfaces, data: LaunchTemplateData{
		ImageID: spec.ImageID, InstanceType: spec.Type, RoleName: spec.Role,
		UserData: base64.StdEncoding.EncodeToString(spec.UserData), InstanceTags: spec.Tags, SecurityGroupIDs: spec.SecurityGroups,
		HTTPTokens: spec.HTTPTokens, HopLimit: spec.HopLimit, InstanceMetadataTags: spec.InstanceMetadataTags,
	}})
	if err != nil {
		return Instance{}, fmt.Errorf("add instance: %w", err)
	}
	w.bootLocked(i)
	return i.clone(), nil
}

// PutGroup makes an AutoScaling group, or replaces the settings of the one of
// that name, and lets it reach its size without lag: it has been so for long.
func (w *World) PutGroup(spec GroupSpec) error {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.settledLocked()
	g := newGroup(spec.Name)
	if old := w.groups[spec.Name]; old != nil {
		*g = *old
	}
	g.min, g.max, g.desired = spec.Min, spec.Max, spec.Desired
	g.zones, g.protectNew, g.grace = spec.Zones, spec.ProtectNew, int(spec.HealthCheckGrace/time.Second)
	if len(g.zones) == 0 {
		g.zones = w.Zones
	}
	if g.min > g.max || g.desired < g.min || g.desired > g.max {
		return fmt.Errorf("put group %s: desired %d is not within %d and %d", spec.Name, g.desired, g.min, g.max)
	}
	g.template, g.version, g.instanceType = nil, spec.LaunchTemplateVersion, spec.InstanceType
	if spec.LaunchTemplate != "" {
		if g.template = w.templates[spec.LaunchTemplate]; g.template == nil {
			g.template = w.templateNamedLocked(spec.LaunchTemplate)
		}
		if g.template == nil {
			return fmt.Errorf("put group %s: no launch template %s", spec.Name, spec.LaunchTemplate)
		}
	} else if spec.InstanceType == "" {
		return fmt.Errorf("put group %s: neither launch template nor instance type", spec.Name)
	}
	g.tags = nil
	for _, t := range spec.Tags {
		if err := g.putTag(t); err != nil {
			return fmt.Errorf("put group %s: %w", spec.Name, err)
		}
	}
	if err := g.setPool(spec.WarmPool); err != nil {
		return fmt.Errorf("put group %s: %w", spec.Name, err)
	}
	if old := w.groups[spec.Name]; old != nil {
		*old = *g
		g = old
	}
	w.groups[spec.Name] = g
	w.promptlyLocked(g, func() { w.reconcileNowLocked(g) })
	return nil
}

// Terminate ends an instance as EC2's TerminateInstances does.
func (w *World) Terminate(instanceID string) {
	w.onInstance(instanceID, func(i *instance) { w.terminateLocked(i, userShutdown) })
}

// Instances returns all instances in launch order, terminated ones for as long
// as EC2 describes them.
func (w *World) Instances() []Instance {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forgetLocked()
	var out []Instance
	for _, id := range w.order {
		out = append(out, w.instances[id].clone())
	}
	return out
}

// ErrNotFound is returned for what the world does not hold.
var ErrNotFound = errors.New("not found")

// Instance returns one instance, or ErrNotFound.
func (w *World) Instance(id string) (Instance, error) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	i := w.instances[id]
	if i == nil {
		return Instance{}, fmt.Errorf("instance %s: %w", id, ErrNotFound)
	}
	return i.clone(), nil
}

// InstanceByIP returns the instance that has an address now, on any of its
// interfaces, or ErrNotFound.
func (w *World) InstanceByIP(ip string) (Instance, error) {
	for _, i := range w.Instances() {
		if i.State != Terminated && slices.Contains(append(i.addresses(), i.ipv6()...), ip) {
			return i, nil
		}
	}
	return Instance{}, fmt.Errorf("instance with address %s: %w", ip, ErrNotFound)
}

// Groups returns all groups, sorted by name.
func (w *World) Groups() []Group {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Group
	for _, g := range w.groups {
		out = append(out, g.view())
	}
	slices.SortFunc(out, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Group returns one group, or ErrNotFound.
func (w *World) Group(name string) (Group, error) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	g := w.groups[name]
	if g == nil {
		return Group{}, fmt.Errorf("group %s: %w", name, ErrNotFound)
	}
	return g.view(), nil
}

func (g *group) view() Group {
	out := Group{GroupSpec: GroupSpec{
		Name: g.name, Min: g.min, Max: g.max, Desired: g.desired, LaunchTemplateVersion: g.version, InstanceType: g.instanceType,
		Zones: slices.Clone(g.zones), Tags: slices.Clone(g.tags), ProtectNew: g.protectNew, HealthCheckGrace: time.Duration(g.grace) * time.Second,
		WarmPool: g.pool.view(),
	}, Suspended: slices.Clone(g.suspended)}
	if g.template != nil {
		out.LaunchTemplate = g.template.name
	}
	for _, m := range g.members {
		out.Members = append(out.Members, Member{InstanceID: m.inst.ID, Zone: m.inst.Zone, Lifecycle: m.lifecycle, Healthy: !m.unhealthy, Protected: m.protected})
	}
	for _, a := range slices.Backward(g.activities) {
		out.Activities = append(out.Activities, Activity{ID: a.id, Group: a.group, Description: a.description, Cause: a.cause,
			Status: a.status, Message: a.message, Start: a.start, End: a.end, Progress: a.progress(), Details: a.details})
	}
	return out
}

// Calls returns the call log: every request so far, in the order in which they
// took effect.
func (w *World) Calls() []Call {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := slices.Clone(w.calls)
	for n := range out {
		out[n].Params = maps.Clone(out[n].Params)
	}
	return out
}

// CallsTo returns the calls to one action of a service.
func (w *World) CallsTo(service, action string) []Call {
	return slices.DeleteFunc(w.Calls(), func(c Call) bool { return c.Service != service || c.Action != action })
}

// ForgetCalls empties the call log.
func (w *World) ForgetCalls() {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}
