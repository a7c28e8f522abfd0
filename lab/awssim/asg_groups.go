package awssim

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// group is an AutoScaling group. Without a template it stands for one made
// from a launch configuration, which has no launch template to read.
type group struct {
	name              string
	min, max, desired int
	template          *launchTemplate
	byName            bool   // the template was given by name
	version           string // as given: a number, $Latest, $Default or empty
	instanceType      string // of a group without template
	zones             []string
	tags              []Tag
	protectNew        bool
	cooldown, grace   int   // seconds; described, not acted on
	pool              *pool // warm pool; nil: none
	created           time.Time
	members           []*member
	hooks             []*hook
	suspended         []string
	activities        []*activity // oldest first
	deleting          bool
	cause             string     // why the capacity is being changed, for the next launches
	stuckAt           int        // desired size already complained about; -1: none
	stopRetry         func()     // cancels the next launch attempt; nil: none is due
	watching          bool       // its balance is looked at soon
	lagging           bool       // what differs is acted on soon, see Weather.Lag
	prompt            bool       // it is acted on now
	balancing         *member    // launched to balance the zones and not in service yet; nil: none
	refreshes         []*refresh // oldest first
}

// setDesired changes the number and remembers why.
func (g *group) setDesired(n int) {
	if n != g.desired {
		g.cause = "At " + activityTime(time.Now()) + " a user request explicitly set group desired capacity " + g.changing("changing the desired capacity", n) + ".  "
	}
	g.desired = n
}

func (g *group) suspends(process string) bool { return slices.Contains(g.suspended, process) }

// readSizes takes the sizes and settings that Create and Update share.
func (g *group) readSizes(f form) error {
	var err error
	read := func(name string, into *int) bool {
		n, given, e := f.integer("autoscaling", name)
		err = errors.Join(err, e)
		if given {
			*into = n
		}
		return given
	}
	read("MinSize", &g.min)
	read("MaxSize", &g.max)
	read("DefaultCooldown", &g.cooldown)
	read("HealthCheckGracePeriod", &g.grace)
	desired := g.desired
	given := read("DesiredCapacity", &desired)
	switch {
	case err != nil:
		return err
	case g.min < 0 || g.max < 0:
		return fail("ValidationError", "1 validation error detected: Value at 'minSize' failed to satisfy constraint: Member must have value greater than or equal to 0")
	case g.min > g.max:
		return fail("ValidationError", "Max bound, %d, must be greater than or equal to min bound, %d", g.max, g.min)
	case given && (desired < g.min || desired > g.max):
		return fail("ValidationError", "Desired capacity:%d must be between the specified min size:%d and max size:%d", desired, g.min, g.max)
	}
	g.setDesired(min(max(desired, g.min), g.max))
	if kind := f.str("HealthCheckType"); kind != "" && kind != "EC2" {
		return notSimulated("autoscaling", "AutoScalingGroup", "HealthCheckType="+kind)
	}
	if v := f.str("NewInstancesProtectedFromScaleIn"); v != "" {
		g.protectNew = v == "true"
	}
	return nil
}

// readPlaceLocked takes the launch template and the zones.
func (w *World) readPlaceLocked(g *group, f form) error {
	if lt := f.sub("LaunchTemplate"); len(lt) > 0 {
		t, err := w.findTemplateLocked(lt)
		if err == nil {
			_, err = t.version(lt.str("Version"))
		}
		if err != nil {
			var e *apiError
			errors.As(err, &e)
			return fail("ValidationError", "You must use a valid fully-formed launch template. %s", e.message)
		}
		g.template, g.version, g.byName = t, lt.str("Version"), lt.has("LaunchTemplateName")
	}
	zones := f.strs("AvailabilityZones.member")
	if v := f.str("VPCZoneIdentifier"); v != "" {
		zones = nil
		for id := range strings.SplitSeq(v, ",") {
			i := slices.IndexFunc(w.subnets, func(s subnet) bool { return s.id == strings.TrimSpace(id) })
			if i < 0 {
				return fail("ValidationError", "The subnet ID '%s' does not exist", id)
			}
			zones = append(zones, w.subnets[i].zone)
		}
	}
	for _, z := range zones {
		if _, ok := w.subnetOf(z); !ok {
			return fail("ValidationError", "Invalid availability zone: [%s]", z)
		}
	}
	if len(zones) > 0 {
		g.zones = zones
	}
	return nil
}

func (w *World) createGroup(req *request) (any, error) {
	f := req.form
	name := f.str("AutoScalingGroupName")
	if name == "" {
		return nil, missing("autoscaling", "autoScalingGroupName")
	}
	if w.groups[name] != nil {
		return nil, fail("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", name)
	}
	for _, p := range []string{"MinSize", "MaxSize"} {
		if !f.has(p) {
			return nil, missing("autoscaling", strings.ToLower(p[:1])+p[1:])
		}
	}
	g := newGroup(name)
	if err := w.readPlaceLocked(g, f); err != nil {
		return nil, err
	}
	if g.template == nil {
		return nil, fail("ValidationError", "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	if len(g.zones) == 0 {
		return nil, fail("ValidationError", "At least one Availability Zone or VPC Subnet is required.")
	}
	if err := g.readSizes(f); err != nil {
		return nil, err
	}
	for _, t := range f.list("Tags.member") {
		if err := g.putTag(Tag{Key: t.str("Key"), Value: t.str("Value"), Propagate: t.str("PropagateAtLaunch") == "true"}); err != nil {
			return nil, err
		}
	}
	w.groups[name] = g
	w.reconcileLocked(g)
	return nil, nil
}

func newGroup(name string) *group {
	return &group{name: name, created: time.Now(), cooldown: 300, stuckAt: -1}
}

func (w *World) updateGroup(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	next := *g // nothing changes if any part is wrong
	if err := w.readPlaceLocked(&next, req.form); err != nil {
		return nil, err
	}
	if err := next.readSizes(req.form); err != nil {
		return nil, err
	}
	*g = next
	w.reconcileNowLocked(g)
	return nil, nil
}

// deleteGroup removes an empty group at once; a forced one when its instances
// are gone, and without waiting for hooks.
func (w *World) deleteGroup(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	force := req.form.str("ForceDelete") == "true"
	if len(g.members) > 0 && !force {
		return nil, fail("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	}
	if g.pool != nil && !force {
		return nil, fail("ResourceInUse", "You cannot delete an AutoScalingGroup while there is a warm pool.")
	}
	g.deleting, g.min, g.max, g.desired = true, 0, 0, 0
	for _, m := range slices.Clone(g.members) {
		if !m.leaving() {
			w.leaveLocked(g, m, "instance "+m.inst.ID+" was taken out of service in response to a user request to delete the group", false)
		} else if len(m.waits) > 0 {
			w.proceedLocked(g, m, false)
		}
	}
	w.dropIfEmptyLocked(g)
	return nil, nil
}

// dropIfEmptyLocked completes the deletion of a group.
func (w *World) dropIfEmptyLocked(g *group) {
	if !g.deleting || len(g.members) > 0 || w.groups[g.name] != g {
		return
	}
	if g.stopRetry != nil {
		g.stopRetry()
	}
	w.past = append(w.past, g.activities...)
	delete(w.groups, g.name)
}
