package queue_test

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/controlplane/hooks/queue"
)

// terminateEvent is an event as the event reference of Auto Scaling shows it.
const terminateEvent = `{"version": "0", "id": "12345678-1234-1234-1234-123456789012", "detail-type": "EC2 Instance-terminate Lifecycle Action",
  "source": "aws.autoscaling", "account": "123456789012", "time": "2026-11-24T12:00:00Z", "region": "us-west-2",
  "resources": ["arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:x:autoScalingGroupName/workers"],
  "detail": {"LifecycleActionToken": "87654321-4321-4321-4321-210987654321", "AutoScalingGroupName": "workers", "LifecycleHookName": "joinery-terminate",
    "EC2InstanceId": "i-1234567890abcdef0", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "NotificationMetadata": "additional-info",
    "Origin": "AutoScalingGroup", "Destination": "EC2"}}`

const testNotification = `{"AccountId": "123456789012", "RequestId": "x", "AutoScalingGroupARN": "arn:x", "AutoScalingGroupName": "workers",
  "Service": "AWS Auto Scaling", "Event": "autoscaling:TEST_NOTIFICATION", "Time": "2026-11-24T12:00:00.000Z"}`

// stateEvent is an event as the EC2 User Guide shows it.
const stateEvent = `{"version": "0", "id": "12345678-1234-1234-1234-123456789012", "detail-type": "EC2 Instance State-change Notification",
  "source": "aws.ec2", "account": "123456789012", "time": "2026-11-24T12:00:00Z", "region": "us-west-2",
  "resources": ["arn:aws:ec2:us-west-2:123456789012:instance/i-1234567890abcdef0"],
  "detail": {"instance-id": "i-1234567890abcdef0", "state": "shutting-down"}}`

func inState(state string) string { return strings.Replace(stateEvent, "shutting-down", state, 1) }

func changed(old, now string) string { return strings.Replace(terminateEvent, old, now, 1) }

var launchEvent = strings.NewReplacer("terminate", "launch", "TERMINATING", "LAUNCHING").Replace(terminateEvent)

func TestParse(t *testing.T) {
	known := queue.Event{Kind: queue.Terminate, Group: "workers", Hook: "joinery-terminate", Instance: "i-1234567890abcdef0"}
	for name, tt := range map[string]struct {
		body string
		want queue.Event
	}{
		"terminate":              {terminateEvent, known},
		"launch":                 {launchEvent, queue.Event{Kind: queue.Launch, Group: "workers", Hook: "joinery-launch", Instance: "i-1234567890abcdef0"}},
		"a field that is new":    {changed(`"Origin"`, `"Action": "ReplaceRootVolume", "Origin"`), known},
		"an instance ends":       {stateEvent, queue.Event{Kind: queue.Ended, Instance: "i-1234567890abcdef0"}},
		"has ended":              {inState("terminated"), queue.Event{Kind: queue.Ended, Instance: "i-1234567890abcdef0"}},
		"stops":                  {inState("stopping"), queue.Event{Kind: queue.Ended, Instance: "i-1234567890abcdef0"}},
		"begins":                 {inState("running"), queue.Event{Kind: queue.Foreign, Instance: "i-1234567890abcdef0"}},
		"a state that is none":   {inState("flying"), queue.Event{}},
		"no state":               {strings.Replace(stateEvent, `"state"`, `"stat"`, 1), queue.Event{}},
		"another event of EC2":   {strings.Replace(stateEvent, "State-change", "Rebalance", 1), queue.Event{}},
		"state by Auto Scaling":  {strings.Replace(stateEvent, "aws.ec2", "aws.autoscaling", 1), queue.Event{}},
		"state of no instance":   {strings.Replace(stateEvent, `"instance-id": "i-`, `"instance-id": "x-`, 1), queue.Event{}},
		"test":                   {testNotification, queue.Event{Kind: queue.Test}},
		"nothing":                {"", queue.Event{}},
		"no JSON":                {"hello", queue.Event{}},
		"null":                   {"null", queue.Event{}},
		"a list":                 {"[" + terminateEvent + "]", queue.Event{}},
		"two events":             {terminateEvent + terminateEvent, queue.Event{}},
		"cut short":              {terminateEvent[:len(terminateEvent)-2], queue.Event{}},
		"field twice":            {changed(`"source"`, `"source": "aws.autoscaling", "source"`), queue.Event{}},
		"other letters":          {changed(`"source"`, `"Source"`), queue.Event{}},
		"another source":         {changed("aws.autoscaling", "aws.ecs"), queue.Event{}},
		"EC2's lifecycle":        {changed("aws.autoscaling", "aws.ec2"), queue.Event{}},
		"another detail type":    {changed("Instance-terminate Lifecycle Action", "Instance Terminate Successful"), queue.Event{}},
		"transition and type":    {changed("EC2_INSTANCE_TERMINATING", "EC2_INSTANCE_LAUNCHING"), queue.Event{}},
		"no detail":              {changed(`"detail":`, `"other":`), queue.Event{}},
		"detail is text":         {`{"source": "aws.autoscaling", "detail-type": "EC2 Instance-terminate Lifecycle Action", "detail": "x"}`, queue.Event{}},
		"no group":               {changed(`"workers"`, `""`), queue.Event{}},
		"group with a line end":  {changed(`"workers"`, `"a\nb"`), queue.Event{}},
		"group is a number":      {changed(`"workers"`, `7`), queue.Event{}},
		"hook is long":           {changed("joinery-terminate", strings.Repeat("h", 256)), queue.Event{}},
		"instance of the past":   {changed("i-1234567890abcdef0", "i-12345678"), queue.Event{Kind: queue.Terminate, Group: "workers", Hook: "joinery-terminate", Instance: "i-12345678"}},
		"instance is none":       {changed("i-1234567890abcdef0", "i-1234567890ABCDEF0"), queue.Event{}},
		"test with a source":     {`{"Event": "autoscaling:TEST_NOTIFICATION", "source": "x"}`, queue.Event{}},
		"direct notification":    {`{"LifecycleHookName": "joinery-launch", "Service": "AWS Auto Scaling"}`, queue.Event{}},
		"as much as may be":      {terminateEvent + strings.Repeat(" ", 256<<10-len(terminateEvent)), known},
		"more than may be":       {terminateEvent + strings.Repeat(" ", 256<<10+1-len(terminateEvent)), queue.Event{}},
		"nested without an end":  {strings.Repeat(`{"detail":`, 20000), queue.Event{}},
		"nested beyond sense":    {`{"x": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, queue.Event{}},
		"text that is not UTF-8": {changed(`"workers"`, "\"\xff\xfe\""), queue.Event{Kind: queue.Terminate, Group: "\ufffd\ufffd", Hook: "joinery-terminate", Instance: "i-1234567890abcdef0"}},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want.Kind == "" {
				tt.want.Kind = queue.Unknown
			}
			got, err := queue.Parse(tt.body)
			if got != tt.want || (err != nil) != (tt.want.Kind == queue.Unknown) {
				t.Errorf("got %+v, %v: expected %+v", got, err, tt.want)
			}
		})
	}
}

// FuzzParse: what is accepted is what it says, and what is refused is refused in
// words of our own.
func FuzzParse(f *testing.F) {
	for _, body := range []string{terminateEvent, launchEvent, stateEvent, inState("running"), testNotification, "", "null", `{"detail": {}}`} {
		f.Add(body)
	}
	reasons := map[string]bool{}
	f.Fuzz(func(t *testing.T, body string) {
		e, err := queue.Parse(body)
		switch e.Kind {
		case queue.Launch, queue.Terminate:
			if err != nil || e.Group == "" || e.Hook == "" || !strings.HasPrefix(e.Instance, "i-") || !strings.Contains(body, "Lifecycle Action") && !strings.Contains(body, `\u`) {
				t.Errorf("%+v, %v", e, err)
			}
		case queue.Ended, queue.Foreign:
			if err != nil || e.Group != "" || !strings.HasPrefix(e.Instance, "i-") {
				t.Errorf("%+v, %v", e, err)
			}
		case queue.Test:
			if err != nil || e != (queue.Event{Kind: queue.Test}) {
				t.Errorf("%+v, %v", e, err)
			}
		case queue.Unknown:
			if err == nil || e != (queue.Event{Kind: queue.Unknown}) {
				t.Fatalf("%+v, %v", e, err)
			}
			if reasons[err.Error()] = true; len(body) <= 256<<10 && len(reasons) > 8 {
				t.Errorf("a reason repeats the message: %v", err)
			}
		default:
			t.Errorf("kind %q", e.Kind)
		}
	})
}
