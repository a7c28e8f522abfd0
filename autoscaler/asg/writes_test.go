package asg_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

func workers(t *testing.T, w *awssim.World, minimum, maximum, desired int) {
	t.Helper()
	putTemplate(w, "workers", goodConfig)
	putGroup(t, w, awssim.GroupSpec{Name: "workers", Min: minimum, Max: maximum, Desired: desired, LaunchTemplate: "workers", Tags: discoverable()})
}

func TestRaise(t *testing.T) {
	for _, tt := range []struct {
		name              string
		desired, from, to int
		want              asg.Raised
		writes            int
	}{
		{"as planned", 2, 2, 5, asg.Raised{From: 2, To: 5, Max: 6}, 1},
		{"up to the maximum", 2, 2, 50, asg.Raised{From: 2, To: 6, Max: 6}, 1},
		{"somebody raised it further", 5, 2, 4, asg.Raised{From: 5, To: 5, Max: 6}, 0},
		{"somebody raised it a little", 3, 2, 4, asg.Raised{From: 3, To: 4, Max: 6}, 1},
		{"somebody took one away meanwhile", 1, 2, 4, asg.Raised{From: 1, To: 3, Max: 6}, 1},
		{"nothing to do", 6, 6, 7, asg.Raised{From: 6, To: 6, Max: 6}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w awssim.World
				defer w.Close()
				c := newClient(t, &w, nil)
				workers(t, &w, 0, 6, tt.desired)
				got, err := c.Raise(t.Context(), "workers", tt.from, tt.to)
				if err != nil || got != tt.want {
					t.Errorf("got %+v %v, want %+v", got, err, tt.want)
				}
				calls := w.CallsTo("autoscaling", "SetDesiredCapacity")
				if len(calls) != tt.writes {
					t.Fatalf("%d writes, want %d", len(calls), tt.writes)
				}
				if tt.writes == 1 && calls[0].Params["HonorCooldown"] != "false" {
					t.Errorf("write honors the cooldown: %v", calls[0].Params)
				}
			})
		})
	}
}

// People lower desired capacity by hand; protected members stay. What is between desired
// capacity and the members buys nothing, so one write goes beyond these.
func TestRaiseGrowsFromTheMembers(t *testing.T) {
	for _, tt := range []struct {
		name              string
		desired, from, to int
		want              asg.Raised
	}{
		{"planned from desired capacity", 1, 1, 2, asg.Raised{From: 4, To: 5, Max: 6}},
		{"planned from the members", 1, 4, 5, asg.Raised{From: 4, To: 5, Max: 6}},
		{"planned before it was lowered", 1, 4, 6, asg.Raised{From: 4, To: 6, Max: 6}},
		{"planned in between", 2, 3, 4, asg.Raised{From: 4, To: 5, Max: 6}},
		{"up to the maximum", 0, 0, 5, asg.Raised{From: 4, To: 6, Max: 6}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w awssim.World
				c := newClient(t, &w, nil)
				workers(t, &w, 0, 6, 4)
				groups, err := c.Groups(t.Context(), 0)
				if err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, i := range groups[0].Instances {
					ids = append(ids, i.ID)
				}
				if err := c.Protect(t.Context(), "workers", ids); err != nil {
					t.Fatal(err)
				}
				lower(t, &w, tt.desired)
				w.Settle()
				before := len(w.CallsTo("autoscaling", "SetDesiredCapacity"))
				got, err := c.Raise(t.Context(), "workers", tt.from, tt.to)
				if err != nil || got != tt.want {
					t.Errorf("got %+v %v, want %+v", got, err, tt.want)
				}
				if n := len(w.CallsTo("autoscaling", "SetDesiredCapacity")) - before; n != 1 {
					t.Errorf("%d writes, want 1", n)
				}
			})
		})
	}
}

// lower sets desired capacity as a person does.
func lower(t *testing.T, w *awssim.World, desired int) {
	t.Helper()
	_, err := autoscaling.NewFromConfig(w.Config("operator")).SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{
		AutoScalingGroupName: aws.String("workers"), DesiredCapacity: aws.Int32(int32(desired)),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWritesRefuseStrangers(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 0, 6, 2)
	putGroup(t, &w, awssim.GroupSpec{Name: "other", Max: 6, Desired: 2, LaunchTemplate: "workers"})
	for _, group := range []string{"other", "absent"} {
		if _, err := c.Raise(t.Context(), group, 2, 3); !errors.Is(err, asg.ErrNoGroup) {
			t.Errorf("raise %s: %v, want ErrNoGroup", group, err)
		}
		if err := c.Terminate(t.Context(), group, "i-0123456789abcdef0"); !errors.Is(err, asg.ErrNoGroup) {
			t.Errorf("terminate in %s: %v, want ErrNoGroup", group, err)
		}
	}
}

func TestTerminateRespectsTheMinimum(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 1, 6, 3)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, in := range got(t, c, "workers").Instances {
		wg.Go(func() { errs[i] = c.Terminate(t.Context(), "workers", in.ID) })
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if errors.Is(err, asg.ErrAtMin) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if g := got(t, c, "workers"); refused != 1 || g.Desired != 1 {
		t.Errorf("%d refused, desired %d: want 1 and 1", refused, g.Desired)
	}
	left := ""
	for _, in := range got(t, c, "workers").Instances {
		if !in.Leaving() {
			left = in.ID
		}
	}
	if err := c.Replace(t.Context(), "workers", left, "it never joined"); err != nil {
		t.Fatal(err)
	}
	g := got(t, c, "workers")
	if g.Desired != 1 || g.LaunchFailure.Cause != "it never joined" || g.LaunchFailure.Instance != left {
		t.Errorf("after replacing: desired %d, failure %+v", g.Desired, g.LaunchFailure)
	}
}

func TestTerminateSurvivesALostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w awssim.World
		defer w.Close()
		c := newClient(t, &w, nil)
		workers(t, &w, 0, 6, 3)
		w.Inject(awssim.Fault{Service: "autoscaling", Action: "TerminateInstanceInAutoScalingGroup", Count: 1, LoseAnswer: true})
		id := got(t, c, "workers").Instances[0].ID
		for range 2 {
			if err := c.Terminate(t.Context(), "workers", id); err != nil {
				t.Fatal(err)
			}
		}
		if g := got(t, c, "workers"); g.Desired != 2 || len(w.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")) != 1 {
			t.Errorf("desired is %d after one termination, want 2", g.Desired)
		}
	})
}

func TestRaiseLooksAgainBeforeItRepeats(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  awssim.Fault
		writes int
		failed bool
	}{
		{"lost answer", awssim.Fault{LoseAnswer: true, Count: 1}, 1, false},
		{"throttled once", awssim.Fault{Code: awssim.Throttle, Count: 1}, 2, false},
		{"throttled for long", awssim.Fault{Code: awssim.Throttle}, 3, true},
		{"denied", awssim.Fault{Code: "AccessDenied", Status: 403}, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w awssim.World
				defer w.Close()
				c := newClient(t, &w, nil)
				workers(t, &w, 0, 6, 2)
				tt.fault.Service, tt.fault.Action = "autoscaling", "SetDesiredCapacity"
				w.Inject(tt.fault)
				began := time.Now()
				got, err := c.Raise(t.Context(), "workers", 2, 4)
				if (err != nil) != tt.failed || !tt.failed && got != (asg.Raised{From: 2, To: 4, Max: 6}) {
					t.Errorf("got %+v, %v", got, err)
				}
				if n := len(w.CallsTo("autoscaling", "SetDesiredCapacity")); n != tt.writes {
					t.Errorf("%d writes, want %d", n, tt.writes)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestProtectSetsWhatIsMissing(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 0, 80, 70)
	var ids []string
	for _, in := range got(t, c, "workers").Instances {
		ids = append(ids, in.ID)
	}
	if err := c.Protect(t.Context(), "workers", ids); err != nil {
		t.Fatal(err)
	}
	w.Settle()
	for _, in := range got(t, c, "workers").Instances {
		if !in.Protected {
			t.Fatalf("instance %s is not protected", in.ID)
		}
	}
	if n := len(w.CallsTo("autoscaling", "SetInstanceProtection")); n != 2 {
		t.Errorf("%d calls for 70 instances, want 2", n)
	}
}

// Whatever happens at once, no write of ours ever lowers desired capacity.
func TestDesiredCapacityIsNeverWrittenDownwards(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			var w awssim.World
			defer w.Close()
			c := newClient(t, &w, nil)
			workers(t, &w, 1, 40, 5)
			var wg sync.WaitGroup
			for worker := range uint64(4) {
				random := rand.New(rand.NewPCG(seed, worker))
				wg.Go(func() { disturb(t.Context(), c, random) })
			}
			wg.Wait()
			checkWrites(t, &w, 5)
		})
	}
}

func disturb(ctx context.Context, c *asg.Client, random *rand.Rand) {
	for range 12 {
		groups, err := c.Groups(ctx, time.Hour)
		if err != nil || len(groups) != 1 {
			continue
		}
		g := groups[0]
		if random.IntN(3) > 0 || len(g.Instances) == 0 {
			_, _ = c.Raise(ctx, "workers", g.Desired, g.Desired+random.IntN(6)-1)
			continue
		}
		_ = c.Terminate(ctx, "workers", g.Instances[random.IntN(len(g.Instances))].ID)
	}
}

// checkWrites replays the writes that AWS saw.
func checkWrites(t *testing.T, w *awssim.World, desired int) {
	t.Helper()
	for _, call := range w.Calls() {
		if call.Error != "" {
			continue
		}
		switch call.Action {
		case "SetDesiredCapacity":
			n, err := strconv.Atoi(call.Params["DesiredCapacity"])
			if err != nil || n <= desired {
				t.Fatalf("desired capacity was written from %d to %d (%v)", desired, n, err)
			}
			desired = n
		case "TerminateInstanceInAutoScalingGroup":
			if call.Params["ShouldDecrementDesiredCapacity"] == "true" {
				desired--
			}
		case "UpdateAutoScalingGroup":
			t.Fatal("a group was updated")
		}
	}
	if desired < 1 {
		t.Errorf("the group fell below its minimum to %d", desired)
	}
}

func TestCapacityFailureIsNoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w awssim.World
		c := newClient(t, &w, nil)
		workers(t, &w, 0, 6, 1)
		remove := w.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{}})
		bubble.Sleep(time.Minute)
		if _, err := c.Raise(t.Context(), "workers", 1, 3); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(10 * time.Second)
		g := got(t, c, "workers")
		if g.LaunchFailure.At.IsZero() || !strings.HasPrefix(g.LaunchFailure.Cause, "InsufficientInstanceCapacity") {
			t.Fatalf("failure %+v", g.LaunchFailure)
		}
		remove()
		bubble.Sleep(10 * time.Minute)
		g = got(t, c, "workers")
		if g.Missing() > 0 {
			t.Errorf("capacity is back, %d of %d instances", len(g.Instances), g.Desired)
		}
		asked := len(w.CallsTo("autoscaling", "DescribeScalingActivities"))
		got(t, c, "workers")
		if again := len(w.CallsTo("autoscaling", "DescribeScalingActivities")); again != asked {
			t.Errorf("activities of a complete group were asked for")
		}
	})
}

// Instances beyond the desired capacity, which Auto Scaling leaves because they are
// protected, end without their place in it; what is left is not ended below the minimum.
func TestTerminateOfASurplusKeepsTheCapacity(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 0, 6, 3)
	var ids []string
	for _, in := range got(t, c, "workers").Instances {
		ids = append(ids, in.ID)
	}
	if err := c.Protect(t.Context(), "workers", ids); err != nil {
		t.Fatal(err)
	}
	workers(t, &w, 1, 6, 1)
	w.Settle()
	for i, want := range []error{nil, nil, asg.ErrAtMin} {
		if spare, err := c.Spare(t.Context(), "workers"); err != nil || spare != 2-i {
			t.Errorf("%d to spare, %v: want %d", spare, err, 2-i)
		}
		if err := c.Terminate(t.Context(), "workers", ids[i]); !errors.Is(err, want) {
			t.Errorf("terminate the instance %d: %v, want %v", i, err, want)
		}
		if d := trueSize(t, &w); d != 1 {
			t.Errorf("desired %d, want 1", d)
		}
	}
}
