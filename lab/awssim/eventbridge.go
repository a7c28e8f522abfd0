package awssim

import (
	"encoding/json"
	"strings"
	"time"
)

// RouteLifecycleEvents is an EventBridge rule on the default bus that sends the
// events of lifecycle actions of every group to a queue, whose policy lets it;
// an empty name ends that. What is sent to a queue that does not exist is lost.
func (w *World) RouteLifecycleEvents(queueName string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.eventQueue = queueName
}

// event is one of EventBridge.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     lifecycleDetail `json:"detail"`
}

type lifecycleDetail struct {
	LifecycleActionToken string
	AutoScalingGroupName string
	LifecycleHookName    string
	EC2InstanceId        string
	LifecycleTransition  string
	NotificationMetadata string `json:",omitempty"`
	Origin               string
	Destination          string
}

// announceLocked tells EventBridge that a hook began to hold a member.
func (w *World) announceLocked(g *group, m *member, a *lifecycleAction) {
	q := w.queues[w.eventQueue]
	if q == nil {
		return
	}
	kind := "EC2 Instance-launch Lifecycle Action"
	if a.hook.transition == onTerminate {
		kind = "EC2 Instance-terminate Lifecycle Action"
	}
	origin, destination := m.way(a.hook.transition)
	// Text and numbers always encode.
	body, _ := json.Marshal(event{
		Version: "0", ID: w.uuidLocked("event"), DetailType: kind, Source: "aws.autoscaling", Account: w.AccountID,
		Time: time.Now().UTC().Truncate(time.Second), Region: w.Region, Resources: []string{w.groupARN(g.name)},
		Detail: lifecycleDetail{
			LifecycleActionToken: a.token, AutoScalingGroupName: g.name, LifecycleHookName: a.hook.name, EC2InstanceId: m.inst.ID,
			LifecycleTransition: a.hook.transition, NotificationMetadata: a.hook.metadata, Origin: origin, Destination: destination,
		},
	})
	w.sendLocked(q, string(body))
}

// way is from where to where a member goes when hooks of a transition hold it.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
func (m *member) way(transition string) (origin, destination string) {
	const machine, service, pool = "EC2", "AutoScalingGroup", "WarmPool"
	switch {
	case transition == onLaunch && m.warm():
		return machine, pool
	case transition == onLaunch && m.drawn:
		return pool, service
	case transition == onLaunch:
		return machine, service
	case m.warm() && !strings.HasSuffix(m.lifecycle, terminating):
		return service, pool
	case m.warm():
		return pool, machine
	}
	return service, machine
}
