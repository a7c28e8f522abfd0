package awssim

import (
	"slices"
	"time"
)

// Bounds of lifecycle hooks, in seconds.
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
const (
	leastHeartbeat = 30
	mostHeartbeat  = 7200
	usualHeartbeat = 3600
	mostWait       = 48 * 3600
)

// hook holds instances at a transition.
type hook struct {
	name, transition, result     string // result is DefaultResult
	heartbeat                    int    // seconds
	metadata, targetARN, roleARN string
}

// globalTimeout is the longest that heartbeats can extend a wait to, in seconds.
func (h *hook) globalTimeout() int { return min(mostWait, 100*h.heartbeat) }

// lifecycleAction is an instance held by a hook.
type lifecycleAction struct {
	hook  hook // as it was when the action began
	token string
	until time.Time // end of the global timeout
	stop  func()    // cancels the heartbeat timeout
}

// waitLocked begins the lifecycle actions of a transition and reports whether
// there are any.
func (w *World) waitLocked(g *group, m *member, transition string) bool {
	m.waits = map[string]*lifecycleAction{}
	for _, h := range g.hooks {
		if h.transition != transition {
			continue
		}
		a := &lifecycleAction{hook: *h, token: w.uuidLocked("action"), until: time.Now().Add(time.Duration(h.globalTimeout()) * time.Second)}
		m.waits[h.name] = a
		w.beatLocked(g, m, a)
		w.announceLocked(g, m, a)
	}
	return len(m.waits) > 0
}

// beatLocked starts the heartbeat timeout anew, up to the global one.
func (w *World) beatLocked(g *group, m *member, a *lifecycleAction) {
	if a.stop != nil {
		a.stop()
	}
	d := min(time.Duration(a.hook.heartbeat)*time.Second, time.Until(a.until))
	a.stop = w.afterLocked(d, func() { w.completeLocked(g, m, a, a.hook.result) })
}

// completeLocked ends one lifecycle action. The instance goes on when the last
// one is complete, or the first abandoned.
func (w *World) completeLocked(g *group, m *member, a *lifecycleAction, result string) {
	a.stop()
	delete(m.waits, a.hook.name)
	if abandoned := result == "ABANDON"; abandoned || len(m.waits) == 0 {
		w.proceedLocked(g, m, abandoned)
	}
}

func (w *World) endWaitsLocked(m *member) {
	for _, a := range m.waits {
		a.stop()
	}
	m.waits = nil
}

// actionLocked finds the lifecycle action that a request names by instance or
// by token.
func (w *World) actionLocked(req *request) (*group, *member, *lifecycleAction, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, nil, nil, err
	}
	name, id, token := req.form.str("LifecycleHookName"), req.form.str("InstanceId"), req.form.str("LifecycleActionToken")
	if !slices.ContainsFunc(g.hooks, func(h *hook) bool { return h.name == name }) {
		return nil, nil, nil, fail("ValidationError", "No Lifecycle Hook found with name: %s and Auto Scaling group: %s", name, g.name)
	}
	if id == "" && token == "" {
		return nil, nil, nil, fail("ValidationError", "Either instanceId or lifecycleActionToken must be specified")
	}
	for _, m := range g.members {
		a := m.waits[name]
		if a != nil && (id == "" || m.inst.ID == id) && (token == "" || a.token == token) {
			return g, m, a, nil
		}
	}
	if id != "" {
		return nil, nil, nil, fail("ValidationError", "No active Lifecycle Action found with instance ID %s", id)
	}
	return nil, nil, nil, fail("ValidationError", "No active Lifecycle Action found with token %s", token)
}

func (w *World) completeAction(req *request) (any, error) {
	result := req.form.str("LifecycleActionResult")
	if result != "CONTINUE" && result != "ABANDON" {
		return nil, fail("ValidationError", "Lifecycle action result must be CONTINUE or ABANDON, not '%s'", result)
	}
	g, m, a, err := w.actionLocked(req)
	if err != nil {
		return nil, err
	}
	w.completeLocked(g, m, a, result)
	return nil, nil
}

func (w *World) recordHeartbeat(req *request) (any, error) {
	g, m, a, err := w.actionLocked(req)
	if err != nil {
		return nil, err
	}
	w.beatLocked(g, m, a)
	return nil, nil
}

// putHook makes or changes a hook; actions under way keep the old settings.
func (w *World) putHook(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	f := req.form
	h := &hook{heartbeat: usualHeartbeat, result: "ABANDON"}
	i := slices.IndexFunc(g.hooks, func(o *hook) bool { return o.name == f.str("LifecycleHookName") })
	if i >= 0 {
		*h = *g.hooks[i]
	}
	if h.name = f.str("LifecycleHookName"); h.name == "" {
		return nil, missing("autoscaling", "lifecycleHookName")
	}
	for _, s := range []struct {
		param string
		into  *string
	}{{"LifecycleTransition", &h.transition}, {"DefaultResult", &h.result}, {"NotificationMetadata", &h.metadata},
		{"NotificationTargetARN", &h.targetARN}, {"RoleARN", &h.roleARN}} {
		if f.has(s.param) {
			*s.into = f.str(s.param)
		}
	}
	if n, given, err := f.integer("autoscaling", "HeartbeatTimeout"); err != nil {
		return nil, err
	} else if given {
		h.heartbeat = n
	}
	switch {
	case h.transition != onLaunch && h.transition != onTerminate:
		return nil, fail("ValidationError", "Lifecycle transition must be one of %s and %s, not '%s'", onLaunch, onTerminate, h.transition)
	case h.result != "CONTINUE" && h.result != "ABANDON":
		return nil, fail("ValidationError", "Default result must be CONTINUE or ABANDON, not '%s'", h.result)
	case h.heartbeat < leastHeartbeat || h.heartbeat > mostHeartbeat:
		return nil, fail("ValidationError", "Heartbeat timeout must be between %d and %d, not %d", leastHeartbeat, mostHeartbeat, h.heartbeat)
	}
	if i < 0 && len(g.hooks) >= mostHooks {
		return nil, fail("LimitExceeded", "You have already reached your limit of %d lifecycle hooks for Auto Scaling group %s.", mostHooks, g.name)
	}
	if i >= 0 {
		g.hooks[i] = h
	} else {
		g.hooks = append(g.hooks, h)
	}
	return nil, nil
}

func (w *World) describeHooks(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	names := req.form.strs("LifecycleHookNames.member")
	var shown []*hook
	for _, h := range g.hooks {
		if len(names) == 0 || slices.Contains(names, h.name) {
			shown = append(shown, h)
		}
	}
	return []node{elList("LifecycleHooks", "member", shown, func(h *hook) any {
		return []node{
			el("LifecycleHookName", h.name), el("AutoScalingGroupName", g.name), el("LifecycleTransition", h.transition),
			el("HeartbeatTimeout", h.heartbeat), el("GlobalTimeout", h.globalTimeout()), el("DefaultResult", h.result),
			el("NotificationMetadata", h.metadata), el("NotificationTargetARN", h.targetARN), el("RoleARN", h.roleARN),
		}
	})}, nil
}

// deleteHook removes a hook; instances that it holds are let go as if the
// action had been completed with its default result.
func (w *World) deleteHook(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	name := req.form.str("LifecycleHookName")
	i := slices.IndexFunc(g.hooks, func(h *hook) bool { return h.name == name })
	if i < 0 {
		return nil, fail("ValidationError", "No Lifecycle Hook found with name: %s and Auto Scaling group: %s", name, g.name)
	}
	g.hooks = slices.Delete(g.hooks, i, i+1)
	for _, m := range slices.Clone(g.members) {
		if a := m.waits[name]; a != nil {
			w.completeLocked(g, m, a, a.hook.result)
		}
	}
	return nil, nil
}
