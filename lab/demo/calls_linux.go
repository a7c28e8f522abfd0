package demo

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// followAWS tells the timeline of what the simulated AWS is asked to do, until
// ctx ends.
func (o *observer) followAWS(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.lookAtAWS()
		}
	}
}

func (o *observer) lookAtAWS() {
	calls := o.world.Calls()
	o.mu.Lock()
	fresh := calls[o.calls:]
	o.calls = len(calls)
	o.mu.Unlock()
	for _, c := range fresh {
		if what := describe(c); what != "" {
			o.timeline.add(Event{c.Time, "aws", c.Principal, what})
		}
	}
	for _, i := range o.world.Instances() {
		if i.Group == "" {
			continue
		}
		switch i.State {
		case awssim.Pending, awssim.Running:
			o.timeline.enter(i.PrivateDNSName, i.LaunchTime, booting)
		case awssim.ShuttingDown:
			o.timeline.enter(i.PrivateDNSName, time.Now(), draining)
		case awssim.Terminated:
			o.timeline.enter(i.PrivateDNSName, time.Now(), gone)
		}
	}
}

// describe words the calls that change something, and nothing for the others.
func describe(c awssim.Call) string {
	text := ""
	switch c.Action {
	case "SetDesiredCapacity":
		text = fmt.Sprintf("SetDesiredCapacity %s -> %s", c.Params["AutoScalingGroupName"], c.Params["DesiredCapacity"])
	case "TerminateInstanceInAutoScalingGroup":
		text = fmt.Sprintf("Terminate %s, decrement %s", c.Params["InstanceId"], c.Params["ShouldDecrementDesiredCapacity"])
	case "PutParameter":
		text = "PutParameter " + c.Params["Name"]
	default:
		return ""
	}
	if c.Error != "" {
		text += ": " + c.Error
	}
	return text
}

// succeeded returns the calls of an action that took effect, oldest first.
func (o *observer) succeeded(action string) []awssim.Call {
	var all []awssim.Call
	for _, c := range o.world.Calls() {
		if c.Action == action && c.Error == "" {
			all = append(all, c)
		}
	}
	return all
}

// workers returns the workers that are registered, and those that are Ready.
func (o *observer) workers() (registered, ready []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, n := range o.nodes {
		registered = append(registered, name)
		if kube.KubeletReady(n) {
			ready = append(ready, name)
		}
	}
	return registered, ready
}

// podsOf returns the pods with the label app=name.
func (o *observer) podsOf(name string) []*corev1.Pod {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*corev1.Pod
	for _, p := range o.pods {
		if p.Labels["app"] == name {
			all = append(all, p)
		}
	}
	return all
}

// firstUnschedulable returns when the first of the pods was seen to be
// unschedulable, zero for never.
func (o *observer) firstUnschedulable(pods []*corev1.Pod) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first time.Time
	for _, p := range pods {
		at, seen := o.unschedulable[p.Namespace+"/"+p.Name]
		if seen && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// tokens returns the tokens made so far, oldest first.
func (o *observer) tokens() []publication {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]publication(nil), o.published...)
}
