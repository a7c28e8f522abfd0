package asg

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

func TestLaunchFailure(t *testing.T) {
	since := time.Date(2026, 5, 1, 12, 0, 0, 500e6, time.UTC)
	activity := func(after time.Duration, status types.ScalingActivityStatusCode, description, message string) types.Activity {
		return types.Activity{StartTime: aws.Time(since.Add(after)), StatusCode: status, Description: &description, StatusMessage: &message}
	}
	const launch, capacity = "Launching a new EC2 instance.", "We currently do not have sufficient t3.medium capacity in the Availability Zone you requested."
	failed := types.ScalingActivityStatusCodeFailed
	for _, tt := range []struct {
		name       string
		activities []types.Activity
		want       string // start of the reason; empty: no failure
	}{
		{"none", nil, ""},
		{"capacity", []types.Activity{activity(time.Second, failed, launch, capacity)}, "InsufficientInstanceCapacity: We"},
		{"before the increase", []types.Activity{activity(-2*time.Second, failed, launch, capacity)}, ""},
		{"the one that is known", []types.Activity{activity(0, failed, launch, capacity)}, ""},
		{"the very moment of the increase", []types.Activity{activity(time.Millisecond, failed, launch, capacity)}, "InsufficientInstanceCapacity"},
		{"success", []types.Activity{activity(time.Second, types.ScalingActivityStatusCodeSuccessful, launch, "")}, ""},
		{"throttling", []types.Activity{activity(time.Second, failed, launch, "Request limit exceeded. Launching EC2 instance failed.")}, ""},
		{"throttling newer than capacity", []types.Activity{
			activity(2*time.Second, failed, launch, "RequestLimitExceeded"), activity(time.Second, failed, launch, capacity),
		}, "InsufficientInstanceCapacity"},
		{"not a launch", []types.Activity{activity(time.Second, failed, "Could not scale to desired capacity because all remaining instances are protected from scale-in.", "")}, ""},
		{"unknown cause", []types.Activity{activity(time.Second, failed, launch, "The AMI does not exist.")}, "The AMI does not exist."},
		{"the newest", []types.Activity{activity(time.Second, failed, launch, "first"), activity(3*time.Second, failed, launch, "second")}, "second"},
	} {
		_, reason, ok := launchFailure(tt.activities, since, since)
		if ok != (tt.want != "") || !strings.HasPrefix(reason, tt.want) {
			t.Errorf("%s: got %q %v, want %q", tt.name, reason, ok, tt.want)
		}
	}
}

func TestLaunchFailureDatedInWholeSeconds(t *testing.T) {
	sent := time.Date(2026, 5, 1, 12, 0, 0, 700e6, time.UTC)
	a := types.Activity{StartTime: aws.Time(sent.Truncate(time.Second)), StatusCode: types.ScalingActivityStatusCodeFailed,
		Description: aws.String("Launching a new EC2 instance."), StatusMessage: aws.String("no capacity")}
	if _, _, ok := launchFailure([]types.Activity{a}, sent, time.Time{}); !ok {
		t.Error("a failure in the second of the increase was overlooked")
	}
}
