package awssim

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"
)

// activity is one scaling activity and the group that it belongs to.
type activity struct {
	id, group, description, cause, status, message, zone, details string
	start, end                                                    time.Time
}

func itoa(n int) string { return strconv.Itoa(n) }

// activityTime is how causes write times.
func activityTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func (w *World) newActivityLocked(g *group, description, cause, zone string) *activity {
	a := &activity{id: w.uuidLocked("activity"), group: g.name, description: description, cause: cause, status: "InProgress", zone: zone, start: time.Now()}
	if s, ok := w.subnetOf(zone); ok {
		// Two strings marshal without failing.
		b, _ := json.Marshal(map[string]string{"Subnet ID": s.id, "Availability Zone": zone})
		a.details = string(b)
	}
	g.activities = append(g.activities, a)
	return a
}

func (a *activity) finish(status, message string) {
	if a == nil {
		return
	}
	a.status, a.message, a.end = status, message, time.Now()
}

// launchFailedLocked records a launch that did not come about. The desired
// capacity stays; the group tries again.
func (w *World) launchFailedLocked(g *group, zone string, err error) {
	message := err.Error()
	if e := (*apiError)(nil); errors.As(err, &e) {
		message = e.message
		if e.code == "InsufficientInstanceCapacity" {
			message = "Could not launch On-Demand Instances. " + e.code + " - " + e.message
		}
	}
	message += " Launching EC2 instance failed."
	cause := g.cause + "At " + activityTime(time.Now()) + " an instance was started in response to a difference between desired and actual capacity, " +
		"increasing the capacity from " + itoa(g.active()) + " to " + itoa(g.desired) + "."
	a := w.newActivityLocked(g, "Launching a new EC2 instance.  Status Reason: "+message, cause, zone)
	a.finish("Failed", message)
}

// noteStuckLocked records once that a scale-in finds protected members only.
func (w *World) noteStuckLocked(g *group) {
	if g.stuckAt == g.desired {
		return
	}
	g.stuckAt = g.desired
	message := "Could not scale to desired capacity because all remaining instances are protected from scale-in."
	a := w.newActivityLocked(g, message, g.cause, "")
	a.finish("Failed", message)
}

func (a *activity) progress() int {
	switch {
	case !a.end.IsZero():
		return 100
	case a.status == "InProgress":
		return 50
	default:
		return 60
	}
}

func (w *World) activityNodes(a *activity) []node {
	return []node{
		el("ActivityId", a.id), el("AutoScalingGroupName", a.group),
		el("AutoScalingGroupARN", w.groupARN(a.group)),
		el("Description", a.description), el("Cause", a.cause), el("StartTime", a.start), el("EndTime", a.end),
		el("StatusCode", a.status), el("StatusMessage", a.message), el("Progress", a.progress()), el("Details", a.details),
	}
}

// describeActivities lists activities, newest first.
func (w *World) describeActivities(req *request) (any, error) {
	size, err := recordSize(req, 100, 100)
	if err != nil {
		return nil, err
	}
	var all []*activity
	if req.form.has("AutoScalingGroupName") && req.form.str("IncludeDeletedGroups") != "true" {
		g, err := w.groupLocked(req)
		if err != nil {
			return nil, err
		}
		all = slices.Clone(g.activities)
	} else {
		for _, g := range w.groups {
			all = append(all, g.activities...)
		}
		if req.form.str("IncludeDeletedGroups") == "true" {
			all = append(all, w.past...)
		}
	}
	ids, name := req.form.strs("ActivityIds.member"), req.form.str("AutoScalingGroupName")
	all = slices.DeleteFunc(all, func(a *activity) bool {
		return len(ids) > 0 && !slices.Contains(ids, a.id) || name != "" && a.group != name
	})
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b *activity) int { return b.start.Compare(a.start) })
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	return []node{
		elList("Activities", "member", part, func(a *activity) any { return w.activityNodes(a) }),
		el("NextToken", next),
	}, nil
}
