package invariant

import (
	"strconv"
	"time"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

const (
	// settles is how long the cluster may need for what it does by itself: a lost
	// kubelet is believed dead after a minute and replaced in two, a drain has its
	// time, and a fault of AWS may come on top.
	settles = 8 * time.Minute
	// launchesIn bounds the instances launched in any window.
	launchWindow, launchesIn = 10 * time.Minute, 40
	// memory is what a controller may have resident.
	memory = 200

	apiAnswers = "the API server answers"
)

// All are the invariants.
var All = []Invariant{
	{apiAnswers, 90 * time.Second, apiSilent},
	{"the published token is good", 3 * time.Minute, tokenBad},
	{"one controller leads", 45 * time.Second, severalLead},
	{"some controller leads", 3 * time.Minute, nobodyLeads},
	{"plans are sound", 0, plansUnsound},
	{"a controller stays small", 0, controllerLarge},
	{"no control-plane instance is touched", 0, masterTouched},
	{"what is kept stays", 0, keptEnded},
	{"capacity is asked for within the group's bounds", 0, askedOutside},
	{"a group has no more than its maximum", settles, groupTooLarge},
	{"a group has its minimum usable", settles, groupTooSmall},
	{"launches are bounded", 0, launchesUnbounded},
	{"an identity is one instance's", 0, identityTwice},
	{"a Node has an instance", 3 * time.Minute, nodeWithoutInstance},
	{"a Node is Ready", settles, nodeNotReady},
	{"a removal ends", settles, removalEndless},
	{"what can run runs", settles, podPending},
	{"what ends has ended", settles, podEnding},
	{"only instances get certificates", 0, strangerApproved},
	{"a machine is an instance's", 90 * time.Second, machineWithoutInstance},
}

func apiSilent(_ *Watch, s *Snapshot) (all []Finding) {
	if s.API != nil {
		all = append(all, finding("API server", "%v", s.API))
	}
	return all
}

func tokenBad(_ *Watch, s *Snapshot) (all []Finding) {
	if s.Token != nil {
		all = append(all, finding("bundle", "%v", s.Token))
	}
	return all
}

func severalLead(_ *Watch, s *Snapshot) (all []Finding) {
	if n := leaders(s); n > 1 {
		all = append(all, finding("leaders", "%d: %+v", n, s.Controllers))
	}
	return all
}

func nobodyLeads(_ *Watch, s *Snapshot) (all []Finding) {
	if leaders(s) == 0 && len(s.Controllers) > 0 {
		all = append(all, finding("leaders", "none: %+v", s.Controllers))
	}
	return all
}

func leaders(s *Snapshot) (n int) {
	for _, c := range s.Controllers {
		if c.Leads {
			n++
		}
	}
	return n
}

func plansUnsound(_ *Watch, s *Snapshot) (all []Finding) {
	for name, c := range s.Controllers {
		if c.Problems > 0 {
			all = append(all, finding(name, "its validator has found %d problems", c.Problems))
		}
	}
	return all
}

func controllerLarge(_ *Watch, s *Snapshot) (all []Finding) {
	for name, c := range s.Controllers {
		if c.ResidentMiB > memory {
			all = append(all, finding(name, "%d MiB resident: at most %d", c.ResidentMiB, memory))
		}
	}
	return all
}

func masterTouched(w *Watch, s *Snapshot) (all []Finding) {
	for id, name := range w.Masters {
		if i, ok := s.instance(id); !ok || i.State != awssim.Running {
			all = append(all, finding(name, "instance %s is %s", id, i.State))
		}
		for _, c := range s.Calls {
			if c.Principal == w.ControllerRole && ends(c) && c.Params["InstanceId"] == id {
				all = append(all, finding(name, "%s was asked for", c.Action))
			}
		}
		if s.API != nil {
			continue
		}
		switch n := s.node(id); {
		case n == nil:
			all = append(all, finding(name, "its Node is gone"))
		case n.Spec.Unschedulable || kube.Leaving(n):
			all = append(all, finding(name, "cordoned %t, taints %v", n.Spec.Unschedulable, n.Spec.Taints))
		}
	}
	return all
}

// ends says whether a call ends an instance, or lets it be ended.
func ends(c awssim.Call) bool {
	switch c.Action {
	case "TerminateInstanceInAutoScalingGroup", "TerminateInstances", "CompleteLifecycleAction":
		return true
	}
	return false
}

func keptEnded(w *Watch, s *Snapshot) (all []Finding) {
	for id, why := range w.Kept {
		if i, ok := s.instance(id); !ok || i.State != awssim.Running {
			all = append(all, finding(id, "kept by %s, and it is %s", why, i.State))
		}
		for _, c := range s.Calls {
			if c.Principal == w.ControllerRole && ends(c) && c.Params["InstanceId"] == id {
				all = append(all, finding(id, "kept by %s, and %s was asked for", why, c.Action))
			}
		}
	}
	return all
}

// askedOutside judges by the bounds of two moments: they may have changed between.
func askedOutside(w *Watch, s *Snapshot) (all []Finding) {
	for _, c := range s.Calls {
		if c.Principal != w.ControllerRole || c.Action != "SetDesiredCapacity" || c.Error != "" {
			continue
		}
		name := c.Params["AutoScalingGroupName"]
		asked, err := strconv.Atoi(c.Params["DesiredCapacity"])
		least, most, known := w.bounds(name, s)
		if err != nil || !known || asked < least || asked > most {
			all = append(all, finding(name, "%q was asked for: %d to %d are its bounds", c.Params["DesiredCapacity"], least, most))
		}
	}
	return all
}

func (w *Watch) bounds(name string, s *Snapshot) (least, most int, known bool) {
	for _, snapshot := range []*Snapshot{w.previous, s} {
		if snapshot == nil {
			continue
		}
		for _, g := range snapshot.Groups {
			switch {
			case g.Name != name:
			case !known:
				least, most, known = g.Min, g.Max, true
			default:
				least, most = min(least, g.Min), max(most, g.Max)
			}
		}
	}
	return least, most, known
}

func groupTooLarge(_ *Watch, s *Snapshot) (all []Finding) {
	for _, g := range s.Groups {
		if n := len(capacity(g)); n > g.Max {
			all = append(all, finding(g.Name, "%d instances: at most %d", n, g.Max))
		}
	}
	return all
}

func groupTooSmall(_ *Watch, s *Snapshot) (all []Finding) {
	for _, g := range s.Groups {
		if n := s.usable(g); n < g.Min {
			all = append(all, finding(g.Name, "%d usable nodes of %d members: at least %d", n, len(g.Members), g.Min))
		}
	}
	return all
}

func launchesUnbounded(w *Watch, s *Snapshot) (all []Finding) {
	n := 0
	for _, at := range w.launched {
		if s.At.Sub(at) < launchWindow {
			n++
		}
	}
	if n > launchesIn {
		all = append(all, finding("launches", "%d within %s: at most %d", n, launchWindow, launchesIn))
	}
	return all
}
