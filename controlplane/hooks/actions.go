package hooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"
)

// autoscalingAPI is the part of the Auto Scaling client that Actions uses.
type autoscalingAPI interface {
	DescribeLifecycleHooks(context.Context, *autoscaling.DescribeLifecycleHooksInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeLifecycleHooksOutput, error)
	CompleteLifecycleAction(context.Context, *autoscaling.CompleteLifecycleActionInput, ...func(*autoscaling.Options)) (*autoscaling.CompleteLifecycleActionOutput, error)
	RecordLifecycleActionHeartbeat(context.Context, *autoscaling.RecordLifecycleActionHeartbeatInput, ...func(*autoscaling.Options)) (*autoscaling.RecordLifecycleActionHeartbeatOutput, error)
}

// errNoAction says that no lifecycle action is open any more: somebody else
// completed it, or its time ran out.
var errNoAction = errors.New("no active lifecycle action")

// The transitions that hooks hang on (API_PutLifecycleHook).
const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// Bounds of a hook's global timeout, should Auto Scaling not name it ("Amazon
// EC2 Auto Scaling lifecycle hooks": 48 hours or 100 times the heartbeat timeout,
// whichever is smaller).
const (
	mostWait       = 48 * time.Hour
	mostHeartbeats = 100
)

// hookSet are the hooks of a group that are ours; nil for none.
type hookSet struct {
	launch, terminate *Hook
}

// of returns the hook that holds instances of a phase.
func (s hookSet) of(p Phase) *Hook {
	if p == Draining {
		return s.terminate
	}
	return s.launch
}

// actions asks about hooks and answers them.
type actions struct {
	api    autoscalingAPI
	policy Policy
}

// hooks returns the group's hooks of our names. A hook of one of the names at
// the other transition is none of ours.
func (a actions) hooks(ctx context.Context, group string) (hookSet, error) {
	out, err := a.api.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &group})
	if err != nil {
		return hookSet{}, fmt.Errorf("describe lifecycle hooks of group %s: %w", group, err)
	}
	var set hookSet
	for _, h := range out.LifecycleHooks {
		hook := &Hook{
			Name:      aws.ToString(h.LifecycleHookName),
			Heartbeat: time.Duration(aws.ToInt32(h.HeartbeatTimeout)) * time.Second,
			Global:    time.Duration(aws.ToInt32(h.GlobalTimeout)) * time.Second,
		}
		if hook.Global == 0 {
			hook.Global = min(mostWait, mostHeartbeats*hook.Heartbeat)
		}
		switch transition := aws.ToString(h.LifecycleTransition); {
		case hook.Name == a.policy.Lifecycle.LaunchHook && transition == launching:
			set.launch = hook
		case hook.Name == a.policy.Lifecycle.TerminateHook && transition == terminating:
			set.terminate = hook
		}
	}
	return set, nil
}

// once keeps the SDK from completing a second action where the answer about the
// first was lost: an instance that leaves a warm pool meets the same hook again.
// The next round looks whether the instance still waits.
func once(o *autoscaling.Options) { o.RetryMaxAttempts = 1 }

// complete ends the lifecycle action of an instance. The error is errNoAction
// when there is none.
func (a actions) complete(ctx context.Context, h Held, result Action) error {
	_, err := a.api.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{
		AutoScalingGroupName: &h.Group, LifecycleHookName: &h.Hook.Name, InstanceId: &h.InstanceID,
		LifecycleActionResult: aws.String(strings.ToUpper(string(result))),
	}, once)
	return answer("complete lifecycle action", err)
}

// beat makes the hook wait for another of its timeouts. The error is
// errNoAction when it waits for nothing.
func (a actions) beat(ctx context.Context, h Held) error {
	_, err := a.api.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{
		AutoScalingGroupName: &h.Group, LifecycleHookName: &h.Hook.Name, InstanceId: &h.InstanceID,
	})
	return answer("record lifecycle action heartbeat", err)
}

func answer(what string, err error) error {
	var refused smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.ErrorCode() == "ValidationError" && strings.Contains(refused.ErrorMessage(), "No active Lifecycle Action found"):
		return errNoAction
	}
	return fmt.Errorf("%s: %w", what, err)
}
