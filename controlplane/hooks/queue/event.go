package queue

import (
	"errors"
	"fmt"
	"regexp"

	kjson "sigs.k8s.io/json"
)

// Kind is what a message is.
type Kind string

// The kinds.
const (
	// Launch says that a hook began to hold an instance on its way into service
	// or into a warm pool.
	Launch Kind = "launch"
	// Terminate says the same of an instance on its way out.
	Terminate Kind = "terminate"
	// Ended says that EC2 is ending or stopping an instance, or has.
	Ended Kind = "ended"
	// Foreign is an event of a hook that is none of ours, or of an instance's other state.
	Foreign Kind = "foreign"
	// Test is what Auto Scaling sends once to the notification target of a hook.
	Test Kind = "test"
	// Unknown is anything else.
	Unknown Kind = "unknown"
)

// Event is what a message says. It proves nothing: whoever may send to the queue
// says what he likes.
type Event struct {
	Kind                  Kind
	Group, Hook, Instance string
}

// maxBytes bounds a message that is read; an event of EventBridge has at most
// 256 KiB (EventBridge User Guide, "Quotas"), one of a lifecycle hook under 2.
const maxBytes = 256 << 10

// source is Auto Scaling's name in EventBridge, ec2Source that of EC2.
const (
	source    = "aws.autoscaling"
	ec2Source = "aws.ec2"
)

// stateChange is the detail type of EC2's events about the states of instances (EC2 User
// Guide, "State change events for your instances"). True are the states in which nothing
// runs for long.
const stateChange = "EC2 Instance State-change Notification"

var ends = map[string]bool{
	"pending": false, "running": false,
	"shutting-down": true, "terminated": true, "stopping": true, "stopped": true,
}

// kinds maps the detail types of lifecycle actions ("Amazon EC2 Auto Scaling
// event reference") to the kinds and to the transitions that they must name.
var kinds = map[string]struct {
	kind       Kind
	transition string
}{
	"EC2 Instance-launch Lifecycle Action":    {Launch, "autoscaling:EC2_INSTANCE_LAUNCHING"},
	"EC2 Instance-terminate Lifecycle Action": {Terminate, "autoscaling:EC2_INSTANCE_TERMINATING"},
}

const testNotification = "autoscaling:TEST_NOTIFICATION"

// message is the part of a message that is read.
type message struct {
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
	Detail     struct {
		Group      string `json:"AutoScalingGroupName"`
		Hook       string `json:"LifecycleHookName"`
		Transition string `json:"LifecycleTransition"`
		Instance   string `json:"EC2InstanceId"`
		// Those of EC2's own events.
		ID    string `json:"instance-id"`
		State string `json:"state"`
	} `json:"detail"`
	// Event is set in Auto Scaling's own notifications.
	Event string `json:"Event"`
}

// Forms of names (API_CreateAutoScalingGroup, API_PutLifecycleHook; an instance
// id has 17 hexadecimal digits, 8 before 2016).
var (
	groupName  = regexp.MustCompile(`^[^\x00-\x1f\x7f:]{1,255}$`)
	hookName   = regexp.MustCompile(`^[A-Za-z0-9\-_/]{1,255}$`)
	instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)
)

// Parse reads a message. The error says why it is Unknown, in words of our own:
// no text of the message is in it.
func Parse(body string) (Event, error) {
	unknown := Event{Kind: Unknown}
	if len(body) > maxBytes {
		return unknown, fmt.Errorf("%d bytes: expected at most %d", len(body), maxBytes)
	}
	var m message
	strict, err := kjson.UnmarshalStrict([]byte(body), &m, kjson.DisallowDuplicateFields)
	switch {
	case err != nil:
		return unknown, errors.New("not the JSON of an event")
	case len(strict) > 0:
		return unknown, errors.New("a field is there twice")
	case m.Event == testNotification && m.Source == "" && m.DetailType == "":
		return Event{Kind: Test}, nil
	case m.Source == ec2Source:
		return parseState(m)
	case m.Source != source:
		return unknown, errors.New("not an event of Auto Scaling or EC2")
	}
	is, known := kinds[m.DetailType]
	switch d := m.Detail; {
	case !known:
		return unknown, errors.New("not the event of a lifecycle action")
	case d.Transition != is.transition:
		return unknown, errors.New("the transition is not that of the detail type")
	case !groupName.MatchString(d.Group), !hookName.MatchString(d.Hook), !instanceID.MatchString(d.Instance):
		return unknown, errors.New("the name of a group, a hook or an instance is not one")
	}
	return Event{Kind: is.kind, Group: m.Detail.Group, Hook: m.Detail.Hook, Instance: m.Detail.Instance}, nil
}

// parseState reads an event of EC2.
func parseState(m message) (Event, error) {
	end, known := ends[m.Detail.State]
	switch {
	case m.DetailType != stateChange:
		return Event{Kind: Unknown}, errors.New("not the event of a state change")
	case !known:
		return Event{Kind: Unknown}, errors.New("the state is not one")
	case !instanceID.MatchString(m.Detail.ID):
		return Event{Kind: Unknown}, errors.New("the name of a group, a hook or an instance is not one")
	case !end:
		return Event{Kind: Foreign, Instance: m.Detail.ID}, nil
	}
	return Event{Kind: Ended, Instance: m.Detail.ID}, nil
}
