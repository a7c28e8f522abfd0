package awssim

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

func names[T ~string](of []T) (out []string) {
	for _, v := range of {
		out = append(out, string(v))
	}
	return out
}

// TestStatesAreReal: every state and status that AutoScaling answers here is one
// of AWS's own model.
func TestStatesAreReal(t *testing.T) {
	members := []string{inService, terminating, pending, pending + waitState, pending + proceeding, terminating + waitState, terminating + proceeding}
	for _, s := range slices.Clone(members) {
		if s != inService {
			members = append(members, warmed+s)
		}
	}
	for _, state := range []string{"Stopped", "Running", "Hibernated"} {
		members = append(members, (&pool{state: state}).rest())
	}
	for what, c := range map[string]struct{ ours, real []string }{
		"lifecycle state": {members, names(types.LifecycleState("").Values())},
		"activity status": {[]string{"InProgress", "Successful", "Failed", "Cancelled", midLifecycle}, names(types.ScalingActivityStatusCode("").Values())},
		"pool state":      {[]string{"Stopped", "Running", "Hibernated"}, names(types.WarmPoolState("").Values())},
		"pool status":     {[]string{"PendingDelete"}, names(types.WarmPoolStatus("").Values())},
		"refresh status": {[]string{"Pending", refreshing, refreshed, refreshFailed, cancelling, cancelled, rollingBack, rolledBack, rollbackFailed, baking},
			names(types.InstanceRefreshStatus("").Values())},
		"protected preference": {strings.Fields("Refresh Ignore Wait"), names(types.ScaleInProtectedInstances("").Values())},
		"standby preference":   {strings.Fields("Terminate Ignore Wait"), names(types.StandbyInstances("").Values())},
		"strategy":             {[]string{rollingPlacement}, names(types.RefreshStrategy("").Values())},
	} {
		for _, ours := range c.ours {
			if !slices.Contains(c.real, ours) {
				t.Errorf("%s %s is not in the model: %v", what, ours, c.real)
			}
		}
	}
}
