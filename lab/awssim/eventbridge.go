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

// RouteStateChanges is a rule that sends EC2's events about the states of all instances to
// a queue; an empty name ends that.
func (w *World) RouteStateChanges(queueName string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stateQueue = queueName
}

// event is one of EventBridge.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
type event struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       time.Time `json:"time"`
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	Detail     any       `json:"detail"`
}

// stateDetail is the detail of an EC2 Instance State-change Notification.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html
type stateDetail struct {
	ID    string `json:"instance-id"`
	State State  `json:"state"`
}

// setStateLocked gives an instance another state, and tells EventBridge.
func (w *World) setStateLocked(i *instance, s State) {
	i.State = s
	q := w.queues[w.stateQueue]
	if q == nil {
		return
	}
	body, _ := json.Marshal(event{
		Version: "0", ID: w.uuidLocked("event"), DetailType: "EC2 Instance State-change Notification", Source: "aws.ec2", Account: w.AccountID,
		Time: time.Now().UTC().Truncate(time.Second), Region: w.Region,
		Resources: []string{"arn:" + w.Partition() + ":ec2:" + w.Region + ":" + w.AccountID + ":instance/" + i.ID},
		Detail:    stateDetail{i.ID, s},
	})
	if w.Weather.Lag <= 0 {
		w.sendLocked(q, string(body))
		return
	}
	// At its worst EventBridge delivers late, twice and in another order.
	for range 1 + w.chance.IntN(2) {
		w.afterLocked(w.someLocked(w.Weather.Lag), func() { w.sendLocked(q, string(body)) })
	}
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
