package asg_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// harsh is a world at its worst with a group of five of ten, in a bubble. Half of
// the instances take minutes to end.
func harsh(t *testing.T, seed uint64, test func(*testing.T, *awssim.World, *asg.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Seed: seed, Harsh: true, Weather: awssim.Weather{Stale: 5 * time.Second}, Timing: awssim.Timing{Shutdown: 20 * time.Second}}
		if seed%2 == 0 {
			w.Timing.Shutdown = 5 * time.Minute
		}
		defer w.Close()
		c := newClient(t, w, nil)
		workers(t, w, 0, 10, 5)
		test(t, w, c)
	})
}

func trueSize(t *testing.T, w *awssim.World) int {
	t.Helper()
	g, err := w.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	return g.Desired
}

// TestHarshWorld: whatever answers are lost, late, old or refused, each
// instance that is ended takes one place, and a raise never leaves the group
// smaller than it was, nor larger than asked for.
func TestHarshWorld(t *testing.T) {
	for seed := range uint64(60) {
		harsh(t, seed, func(t *testing.T, w *awssim.World, c *asg.Client) {
			random := rand.New(rand.NewPCG(seed, 1))
			for _, f := range []awssim.Fault{{LoseAnswer: true}, {Code: "InternalFailure", Status: 500}, {Code: awssim.Throttle}, {Delay: 3 * time.Second}} {
				f.Service, f.Probability = "autoscaling", 0.1
				w.Inject(f)
			}
			places := map[string]int{} // instance id -> places that went while it was being ended
			for range 25 {
				bubble.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
				groups, err := c.Groups(t.Context(), 0)
				if err != nil {
					continue
				}
				g, before := groups[0], trueSize(t, w)
				if random.IntN(2) == 0 || len(g.Instances) == 0 {
					to := min(g.Desired+1+random.IntN(2), g.Max)
					_, _ = c.Raise(t.Context(), "workers", g.Desired, to)
					if after := trueSize(t, w); after < before || after > max(before, to) {
						t.Fatalf("seed %d: raised from %d to %d, and the group went from %d to %d", seed, g.Desired, to, before, after)
					}
					continue
				}
				id := g.Instances[random.IntN(len(g.Instances))].ID
				err = c.Terminate(t.Context(), "workers", id)
				places[id] += before - trueSize(t, w)
				if places[id] < 0 || places[id] > 1 || err == nil && !leaves(t, w, id) {
					t.Fatalf("seed %d: ending %s took %d places (%v)", seed, id, places[id], err)
				}
			}
		})
	}
}

func leaves(t *testing.T, w *awssim.World, id string) bool {
	t.Helper()
	g, err := w.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range g.Members {
		if m.InstanceID == id {
			return m.Lifecycle != "InService" && m.Lifecycle != "Pending"
		}
	}
	return true
}

// TestTerminateIsSentOnce: by the SDK neither, though the answer is a 500.
func TestTerminateIsSentOnce(t *testing.T) {
	harsh(t, 1, func(t *testing.T, w *awssim.World, c *asg.Client) {
		w.Inject(awssim.Fault{Service: "autoscaling", Action: "TerminateInstanceInAutoScalingGroup", Code: "InternalFailure", Status: 500, Count: 1})
		id := got(t, c, "workers").Instances[0].ID
		sent := func() int { return len(w.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")) }
		if err := c.Terminate(t.Context(), "workers", id); err == nil || sent() != 1 {
			t.Errorf("first: %v after %d requests", err, sent())
		}
		if err := c.Terminate(t.Context(), "workers", id); err == nil || sent() != 1 {
			t.Errorf("at once: %v after %d requests", err, sent())
		}
		bubble.Sleep(time.Minute)
		if err := c.Terminate(t.Context(), "workers", id); err != nil || sent() != 2 || trueSize(t, w) != 4 {
			t.Errorf("a minute later: %v after %d requests, desired %d", err, sent(), trueSize(t, w))
		}
	})
}

// TestOwnEndIsRemembered: AWS shows the instance as before, and those who plan
// see it leave with its place.
func TestOwnEndIsRemembered(t *testing.T) {
	harsh(t, 3, func(t *testing.T, w *awssim.World, c *asg.Client) {
		id := got(t, c, "workers").Instances[0].ID
		if err := c.Terminate(t.Context(), "workers", id); err != nil {
			t.Fatal(err)
		}
		for range 30 {
			g := got(t, c, "workers")
			if g.Desired != 4 {
				t.Errorf("desired %d", g.Desired)
			}
			for _, in := range g.Instances {
				if in.ID == id && !in.Leaving() {
					t.Errorf("%s is %s", id, in.LifecycleState)
				}
			}
			bubble.Sleep(time.Second)
		}
	})
}

// TestRaiseOfSomebodyElseIsKept: a plan that knew of it does not undo it because
// the next answer is older.
func TestRaiseOfSomebodyElseIsKept(t *testing.T) {
	for seed := range uint64(40) {
		harsh(t, seed, func(t *testing.T, w *awssim.World, c *asg.Client) {
			raise(t, w, 8)
			from := 0
			for from != 8 {
				bubble.Sleep(100 * time.Millisecond)
				from = got(t, c, "workers").Desired
			}
			if r, err := c.Raise(t.Context(), "workers", from, 9); err != nil || r.To != 9 || trueSize(t, w) != 9 {
				t.Errorf("seed %d: %+v %v, desired %d", seed, r, err, trueSize(t, w))
			}
		})
	}
}

func raise(t *testing.T, w *awssim.World, to int32) {
	t.Helper()
	api := autoscaling.NewFromConfig(w.Config("operator"))
	_, err := api.SetDesiredCapacity(context.Background(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("workers"), DesiredCapacity: &to})
	if err != nil {
		t.Fatal(err)
	}
}

// A raise of which every answer is lost has worked all the same. It is noted as such, or
// the next one, planned from an older answer, would undo it.
func TestRaiseWhoseAnswersAreLost(t *testing.T) {
	for seed := range uint64(10) {
		harsh(t, seed, func(t *testing.T, w *awssim.World, c *asg.Client) {
			got(t, c, "workers")
			lifted := w.Inject(awssim.Fault{Service: "autoscaling", Action: "SetDesiredCapacity", LoseAnswer: true})
			r, err := c.Raise(t.Context(), "workers", 5, 8)
			if size := trueSize(t, w); err != nil || r.To != 8 || size != 8 {
				t.Fatalf("seed %d: raised to %d (%v), and the group has %d", seed, r.To, err, size)
			}
			lifted()
			_, err = c.Raise(t.Context(), "workers", 5, 6)
			if size := trueSize(t, w); err != nil || size != 8 {
				t.Errorf("seed %d: a raise to 6 by an older plan left %d (%v)", seed, size, err)
			}
		})
	}
}
