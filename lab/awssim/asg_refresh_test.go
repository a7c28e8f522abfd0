package awssim_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func startRefresh(t *testing.T, c clients, change func(*autoscaling.StartInstanceRefreshInput)) error {
	t.Helper()
	in := &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: aws.String("g"), Preferences: &types.RefreshPreferences{}}
	if change != nil {
		change(in)
	}
	_, err := c.asg.StartInstanceRefresh(t.Context(), in)
	return err
}

func newestRefresh(t *testing.T, c clients) types.InstanceRefresh {
	t.Helper()
	return must(c.asg.DescribeInstanceRefreshes(t.Context(), &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("g")}))(t).InstanceRefreshes[0]
}

func wantRefresh(t *testing.T, c clients, status types.InstanceRefreshStatus) types.InstanceRefresh {
	t.Helper()
	r := newestRefresh(t, c)
	if r.Status != status {
		t.Errorf("refresh is %s (%s), want %s", r.Status, aws.ToString(r.StatusReason), status)
	}
	return r
}

// refreshWorld is a group of four in a bubble, whose machines boot for ten
// seconds, and the ids of the four.
func refreshWorld(t *testing.T, test func(*testing.T, *awssim.World, clients, []string)) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Boot: 10 * time.Second, Shutdown: 2 * time.Second}}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", LaunchTemplateVersion: "1", Max: 6, Desired: 4}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(11 * time.Second)
		test(t, w, connect(w, "controller"), memberIDs(group(t, w)))
	})
}

func memberIDs(g awssim.Group) (out []string) {
	for _, m := range g.Members {
		out = append(out, m.InstanceID)
	}
	return out
}

// kept counts those of old that are members still.
func kept(t *testing.T, w *awssim.World, old []string) (n int) {
	t.Helper()
	now := memberIDs(group(t, w))
	for _, id := range old {
		if slices.Contains(now, id) {
			n++
		}
	}
	return n
}

func protect(t *testing.T, c clients, on bool, ids ...string) {
	t.Helper()
	must(c.asg.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("g"), InstanceIds: ids, ProtectedFromScaleIn: &on}))(t)
}

// TestRefreshOneByOne: never more than one of four is missing, desired stays,
// and all are others in the end.
func TestRefreshOneByOne(t *testing.T) {
	refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, old []string) {
		wantCode(t, startRefresh(t, c, nil), "")
		wantRefresh(t, c, types.InstanceRefreshStatusPending)
		wantCode(t, startRefresh(t, c, nil), "InstanceRefreshInProgress")
		for range 100 {
			bubble.Sleep(time.Second)
			g := group(t, w)
			serving := strings.Count(states(t, w), "InService")
			if g.Desired != 4 || serving < 3 {
				t.Fatalf("desired %d, states %s", g.Desired, states(t, w))
			}
		}
		r := wantRefresh(t, c, types.InstanceRefreshStatusSuccessful)
		if kept(t, w, old) != 0 || *r.PercentageComplete != 100 || *r.InstancesToUpdate != 0 || r.EndTime == nil {
			t.Errorf("%d of the old are left, refresh %+v", kept(t, w, old), r)
		}
	})
}

// TestRefreshHonoursProtection: what an instance that is protected from
// scale-in means to a refresh is the refresh's own preference.
func TestRefreshHonoursProtection(t *testing.T) {
	for preference, want := range map[types.ScaleInProtectedInstances]struct {
		kept   int
		status types.InstanceRefreshStatus
	}{
		"":        {2, types.InstanceRefreshStatusInProgress}, // waits
		"Wait":    {2, types.InstanceRefreshStatusInProgress},
		"Ignore":  {2, types.InstanceRefreshStatusSuccessful},
		"Refresh": {0, types.InstanceRefreshStatusSuccessful},
	} {
		t.Run(string(preference), func(t *testing.T) {
			refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, old []string) {
				protect(t, c, true, old[:2]...)
				wantCode(t, startRefresh(t, c, func(in *autoscaling.StartInstanceRefreshInput) {
					in.Preferences.ScaleInProtectedInstances = preference
				}), "")
				bubble.Sleep(5 * time.Minute)
				wantRefresh(t, c, want.status)
				if n := kept(t, w, old); n != want.kept {
					t.Errorf("%d of the old are left, want %d", n, want.kept)
				}
				if want.status != types.InstanceRefreshStatusInProgress {
					return
				}
				protect(t, c, false, old[0])
				bubble.Sleep(time.Minute)
				if n := kept(t, w, old); n != 1 {
					t.Errorf("%d of the old are left once one is unprotected", n)
				}
				bubble.Sleep(time.Hour)
				wantRefresh(t, c, types.InstanceRefreshStatusFailed)
			})
		})
	}
}

// TestRefreshSkipsMatching: with the desired configuration of what is there
// already there is nothing to do; with another, all but what matches is done
// and the group launches from it ever after.
func TestRefreshSkipsMatching(t *testing.T) {
	refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, old []string) {
		to := func(version string) func(*autoscaling.StartInstanceRefreshInput) {
			return func(in *autoscaling.StartInstanceRefreshInput) {
				in.Preferences.SkipMatching = aws.Bool(true)
				in.DesiredConfiguration = &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("nodes"), Version: &version}}
			}
		}
		wantCode(t, startRefresh(t, c, to("1")), "")
		bubble.Sleep(time.Minute)
		wantRefresh(t, c, types.InstanceRefreshStatusSuccessful)
		if n := kept(t, w, old); n != 4 {
			t.Errorf("%d of four that match are left", n)
		}
		w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-3", InstanceType: "m5.large"})
		wantCode(t, startRefresh(t, c, to("2")), "")
		bubble.Sleep(5 * time.Minute)
		wantRefresh(t, c, types.InstanceRefreshStatusSuccessful)
		if n, g := kept(t, w, old), group(t, w); n != 0 || g.LaunchTemplateVersion != "2" {
			t.Errorf("%d of the old are left, the group has version %s", n, g.LaunchTemplateVersion)
		}
	})
}

// TestRefreshPausesAtCheckpoint: at half of it, for as long as was asked.
func TestRefreshPausesAtCheckpoint(t *testing.T) {
	refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, old []string) {
		wantCode(t, startRefresh(t, c, func(in *autoscaling.StartInstanceRefreshInput) {
			in.Preferences.CheckpointPercentages, in.Preferences.CheckpointDelay = []int32{50, 100}, aws.Int32(600)
		}), "")
		bubble.Sleep(5 * time.Minute)
		if n := kept(t, w, old); n != 2 || *wantRefresh(t, c, types.InstanceRefreshStatusInProgress).PercentageComplete != 50 {
			t.Errorf("%d of the old are left at half", n)
		}
		bubble.Sleep(10 * time.Minute)
		wantRefresh(t, c, types.InstanceRefreshStatusSuccessful)
	})
}

// TestRefreshIsCancelledOrRolledBack: what is under way ends, and nothing new
// begins; a rollback replaces once more what came from the desired
// configuration.
func TestRefreshIsCancelledOrRolledBack(t *testing.T) {
	second := func(in *autoscaling.StartInstanceRefreshInput) {
		in.DesiredConfiguration = &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("nodes"), Version: aws.String("2")}}
	}
	versions := func(t *testing.T, w *awssim.World) (out [3]int) {
		for _, i := range w.Instances() {
			if i.State == awssim.Running {
				out[i.LaunchTemplateVersion]++
			}
		}
		return out
	}
	refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, _ []string) {
		cancel := func() error {
			_, err := c.asg.CancelInstanceRefresh(t.Context(), &autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: aws.String("g")})
			return err
		}
		rollback := func() error {
			_, err := c.asg.RollbackInstanceRefresh(t.Context(), &autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: aws.String("g")})
			return err
		}
		wantCode(t, cancel(), "ActiveInstanceRefreshNotFound")
		wantCode(t, rollback(), "ActiveInstanceRefreshNotFound")
		wantCode(t, startRefresh(t, c, nil), "")
		bubble.Sleep(2 * time.Second)
		wantCode(t, rollback(), "IrreversibleInstanceRefresh")
		wantCode(t, cancel(), "")
		wantRefresh(t, c, types.InstanceRefreshStatusCancelling)
		bubble.Sleep(time.Minute)
		wantRefresh(t, c, types.InstanceRefreshStatusCancelled)

		w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-3", InstanceType: "m5.large"})
		wantCode(t, startRefresh(t, c, second), "")
		bubble.Sleep(30 * time.Second)
		if v := versions(t, w); v[2] == 0 || v[1] == 0 {
			t.Fatalf("versions %v in the middle of a refresh", v)
		}
		wantCode(t, rollback(), "")
		bubble.Sleep(3 * time.Minute)
		r := wantRefresh(t, c, types.InstanceRefreshStatusRollbackSuccessful)
		if v := versions(t, w); v[2] != 0 || v[1] != 4 || r.RollbackDetails == nil {
			t.Errorf("versions %v after a rollback, %+v", v, r.RollbackDetails)
		}
	})
}

// TestRefreshIsSuspended: nothing is replaced until the process is resumed.
func TestRefreshIsSuspended(t *testing.T) {
	refreshWorld(t, func(t *testing.T, w *awssim.World, c clients, old []string) {
		wantCode(t, startRefresh(t, c, nil), "")
		suspend(t, c, "InstanceRefresh")
		bubble.Sleep(time.Minute)
		if n := kept(t, w, old); n != 4 {
			t.Errorf("%d of four are left", n)
		}
		resume(t, c, "InstanceRefresh")
		bubble.Sleep(2 * time.Minute)
		wantRefresh(t, c, types.InstanceRefreshStatusSuccessful)
	})
}

func TestRefreshPreferencesAreChecked(t *testing.T) {
	_, c := newGroup(t, awssim.GroupSpec{Max: 1})
	for name, change := range map[string]func(*types.RefreshPreferences){
		"percent":           func(p *types.RefreshPreferences) { p.MinHealthyPercentage = aws.Int32(101) },
		"protected":         func(p *types.RefreshPreferences) { p.ScaleInProtectedInstances = "Hide" },
		"descending":        func(p *types.RefreshPreferences) { p.CheckpointPercentages = []int32{50, 20} },
		"delay of nothing":  func(p *types.RefreshPreferences) { p.CheckpointDelay = aws.Int32(1) },
		"rollback to what?": func(p *types.RefreshPreferences) { p.AutoRollback = aws.Bool(true) },
	} {
		t.Run(name, func(t *testing.T) {
			wantCode(t, startRefresh(t, c, func(in *autoscaling.StartInstanceRefreshInput) { change(in.Preferences) }), "ValidationError")
		})
	}
}
