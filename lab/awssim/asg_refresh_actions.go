package awssim

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// refreshPreferences are how a refresh goes about it.
type refreshPreferences struct {
	minHealthy, maxHealthy int // percent
	warmup                 time.Duration
	skipMatching           bool
	autoRollback           bool
	protected              string // ScaleInProtectedInstances: Refresh, Ignore or Wait
	standby                string // StandbyInstances: Terminate, Ignore or Wait; nothing stands by here
	checkpoints            []int  // percent, ascending
	checkpointDelay, bake  time.Duration
}

const refreshParams = " MinHealthyPercentage InstanceWarmup CheckpointPercentages CheckpointDelay SkipMatching AutoRollback ScaleInProtectedInstances StandbyInstances MaxHealthyPercentage BakeTime "

// readRefreshPreferences takes a request's preferences; what it leaves open is
// as the command line and the SDKs have it, not as the console has it.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/understand-instance-refresh-default-values.html
func readRefreshPreferences(g *group, f form) (refreshPreferences, error) {
	p := refreshPreferences{minHealthy: usualMinHealthy, maxHealthy: usualMaxHealthy, protected: "Wait", standby: "Wait",
		skipMatching: f.str("SkipMatching") == "true", autoRollback: f.str("AutoRollback") == "true"}
	for _, name := range f.topLevel() {
		if !hasWord(refreshParams, name) {
			return p, notSimulated("autoscaling", "StartInstanceRefresh", "Preferences."+name)
		}
	}
	warmup, delay, bake := g.grace, 0, 0
	for _, s := range []struct {
		name        string
		into        *int
		least, most int
	}{
		{"MinHealthyPercentage", &p.minHealthy, 0, 100}, {"MaxHealthyPercentage", &p.maxHealthy, 100, 200},
		{"InstanceWarmup", &warmup, 0, 1 << 30}, {"CheckpointDelay", &delay, 0, 172800}, {"BakeTime", &bake, 0, 172800},
	} {
		n, given, err := f.integer("autoscaling", s.name)
		if err != nil {
			return p, err
		}
		if !given {
			continue
		}
		if n < s.least || n > s.most {
			return p, fail("ValidationError", "%s must be between %d and %d, not %d", s.name, s.least, s.most, n)
		}
		*s.into = n
	}
	if p.maxHealthy != usualMaxHealthy {
		return p, notSimulated("autoscaling", "StartInstanceRefresh", "MaxHealthyPercentage="+itoa(p.maxHealthy))
	}
	for _, s := range []struct {
		name string
		into *string
		all  string
	}{{"ScaleInProtectedInstances", &p.protected, "Refresh Ignore Wait"}, {"StandbyInstances", &p.standby, "Terminate Ignore Wait"}} {
		if v := f.str(s.name); v != "" {
			if !hasWord(s.all, v) {
				return p, fail("ValidationError", "%s must be one of %s, not %s", s.name, strings.ReplaceAll(s.all, " ", ", "), v)
			}
			*s.into = v
		}
	}
	if err := p.readCheckpoints(f, &delay); err != nil {
		return p, err
	}
	p.warmup, p.checkpointDelay, p.bake = inSeconds(warmup), inSeconds(delay), inSeconds(bake)
	return p, nil
}

func inSeconds(n int) time.Duration { return time.Duration(n) * time.Second }

func (p *refreshPreferences) readCheckpoints(f form, delay *int) error {
	for _, v := range f.strs("CheckpointPercentages.member") {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 100 {
			return fail("ValidationError", "Checkpoint percentages must be between 1 and 100, not %s", v)
		}
		p.checkpoints = append(p.checkpoints, n)
	}
	ascending := slices.IsSorted(p.checkpoints) && len(slices.Compact(slices.Clone(p.checkpoints))) == len(p.checkpoints)
	switch {
	case !ascending:
		return fail("ValidationError", "Checkpoint percentages must be in ascending order")
	case f.has("CheckpointDelay") && len(p.checkpoints) == 0:
		return fail("ValidationError", "CheckpointDelay needs CheckpointPercentages")
	case len(p.checkpoints) > 0 && !f.has("CheckpointDelay"):
		*delay = usualCheckpoint
	}
	return nil
}

// startRefresh begins an instance refresh.
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_StartInstanceRefresh.html
func (w *World) startRefresh(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	if s := req.form.str("Strategy"); s != "" && s != rollingPlacement {
		return nil, notSimulated("autoscaling", req.action, "Strategy="+s)
	}
	if r := g.refreshUnderWay(); r != nil {
		return nil, fail("InstanceRefreshInProgress", "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.")
	}
	r := &refresh{id: w.uuidLocked("refresh"), status: "Pending", start: time.Now(), from: origin{g.template, g.version}}
	if r.prefs, err = readRefreshPreferences(g, req.form.sub("Preferences")); err != nil {
		return nil, err
	}
	if desired := req.form.sub("DesiredConfiguration"); len(desired) > 0 {
		as := *g
		if err := w.readPlaceLocked(&as, desired); err != nil {
			return nil, err
		}
		r.to = &origin{as.template, as.version}
	}
	if r.prefs.autoRollback && !r.canRollBack() {
		return nil, fail("ValidationError", "AutoRollback needs a desired configuration, and a launch template version that is neither $Latest nor $Default.")
	}
	g.refreshes = append(slices.Clip(g.refreshes), r)
	next := r.from
	if r.to != nil {
		next = *r.to
	}
	r.choose(g, next, r.prefs.skipMatching)
	w.afterLocked(refreshTick, func() { w.watchRefreshLocked(g, r) })
	return []node{el("InstanceRefreshId", r.id)}, nil
}

// canRollBack: there is a configuration to go back to, and it is one thing.
func (r *refresh) canRollBack() bool {
	return r.to != nil && r.from.template != nil && !strings.HasPrefix(r.from.version, "$") && r.from.version != ""
}

func (w *World) cancelRefresh(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	r := g.refreshUnderWay()
	if r == nil || r.status == cancelling || r.status == rollingBack {
		return nil, noActiveRefresh(g)
	}
	r.status, r.reason = cancelling, "Cancelled due to user request."
	return []node{el("InstanceRefreshId", r.id)}, nil
}

func noActiveRefresh(g *group) error {
	return fail("ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group %s", g.name)
}

func (w *World) rollbackRefresh(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	r := g.refreshUnderWay()
	switch {
	case r == nil || r.status == cancelling || r.status == rollingBack:
		return nil, noActiveRefresh(g)
	case !r.canRollBack():
		return nil, fail("IrreversibleInstanceRefresh", "The instance refresh has no configuration to go back to.")
	}
	w.beginRollbackLocked(g, r, "Rollback was initiated by the user.")
	return []node{el("InstanceRefreshId", r.id)}, nil
}

// describeRefreshes lists a group's refreshes, newest first.
func (w *World) describeRefreshes(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	size, err := recordSize(req, 50, 100)
	if err != nil {
		return nil, err
	}
	ids := req.form.strs("InstanceRefreshIds.member")
	all := slices.DeleteFunc(slices.Clone(g.refreshes), func(r *refresh) bool { return len(ids) > 0 && !slices.Contains(ids, r.id) })
	slices.Reverse(all)
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	return []node{
		elList("InstanceRefreshes", "member", part, func(r *refresh) any { return refreshNodes(g, r) }),
		el("NextToken", next),
	}, nil
}

func refreshNodes(g *group, r *refresh) []node {
	p := r.prefs
	n := []node{
		el("InstanceRefreshId", r.id), el("AutoScalingGroupName", g.name), el("Status", r.status), el("StatusReason", r.reason),
		el("StartTime", r.start), el("EndTime", r.end), el("PercentageComplete", r.percent()), el("InstancesToUpdate", len(r.todo)),
		el("Strategy", rollingPlacement),
		el("Preferences", []node{
			el("MinHealthyPercentage", p.minHealthy), el("MaxHealthyPercentage", p.maxHealthy), el("InstanceWarmup", int(p.warmup/time.Second)),
			el("SkipMatching", p.skipMatching), el("AutoRollback", p.autoRollback), el("ScaleInProtectedInstances", p.protected),
			el("StandbyInstances", p.standby), el("CheckpointDelay", int(p.checkpointDelay/time.Second)), el("BakeTime", int(p.bake/time.Second)),
			elList("CheckpointPercentages", "member", p.checkpoints, func(n int) any { return n }),
		}),
	}
	if r.to != nil {
		n = append(n, el("DesiredConfiguration", []node{el("LaunchTemplate", []node{
			el("LaunchTemplateId", r.to.template.id), el("LaunchTemplateName", r.to.template.name), el("Version", r.to.version),
		})}))
	}
	if r.rollback != "" {
		n = append(n, el("RollbackDetails", []node{el("RollbackReason", r.rollback), el("PercentageCompleteOnRollback", r.before)}))
	}
	return n
}
