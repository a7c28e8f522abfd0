package awssim_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

var lateTag = []ec2types.Tag{{Key: aws.String("late"), Value: aws.String("x")}}

// staleWorld is a world whose reads are up to ten seconds old.
func staleWorld(t *testing.T, test func(*testing.T, *awssim.World, clients)) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Weather: awssim.Weather{Stale: 10 * time.Second}}
		defer w.Close()
		template(w)
		if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 9, Desired: 1}); err != nil {
			t.Fatal(err)
		}
		test(t, w, connect(w, "controller"))
	})
}

// wantStale reads every tenth of a second: what was before and what is now are
// both seen at first, the older again after the newer, and only the newer once
// the lag is over.
func wantStale(t *testing.T, read func() (newer bool)) {
	t.Helper()
	var older, newer, back bool
	for range 99 {
		if read() {
			newer = true
		} else {
			older, back = true, back || newer
		}
		bubble.Sleep(100 * time.Millisecond)
	}
	if !older || !newer || !back {
		t.Errorf("the older state was seen: %v, the newer: %v, the older after it: %v", older, newer, back)
	}
	bubble.Sleep(time.Second)
	for range 20 {
		if !read() {
			t.Error("the older state is seen after the lag")
		}
	}
}

func TestStaleReads(t *testing.T) {
	t.Run("desired capacity", func(t *testing.T) {
		staleWorld(t, func(t *testing.T, w *awssim.World, c clients) {
			if describeGroup(t, c).Instances == nil {
				t.Fatal("what was put before is not seen")
			}
			wantCode(t, setDesired(t, c, 3), "")
			if group(t, w).Desired != 3 {
				t.Fatal("the write has not worked at once")
			}
			wantStale(t, func() bool {
				g := describeGroup(t, c)
				if (*g.DesiredCapacity == 3) != (len(g.Instances) == 3) {
					t.Errorf("desired %d with %d instances", *g.DesiredCapacity, len(g.Instances))
				}
				return *g.DesiredCapacity == 3
			})
		})
	})
	t.Run("instance state", func(t *testing.T) {
		staleWorld(t, func(t *testing.T, w *awssim.World, c clients) {
			id := w.Instances()[0].ID
			must(c.ec2.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{id}}))(t)
			wantStale(t, func() bool {
				r := must(c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}}))(t).Reservations
				return r[0].Instances[0].State.Name == "terminated"
			})
		})
	})
	t.Run("tags", func(t *testing.T) {
		staleWorld(t, func(t *testing.T, w *awssim.World, c clients) {
			id := w.Instances()[0].ID
			tag(t, c, id)
			wantStale(t, func() bool {
				r := must(c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}}))(t).Reservations
				for _, tag := range r[0].Instances[0].Tags {
					if *tag.Key == "late" {
						return true
					}
				}
				return false
			})
		})
	})
	t.Run("parameter", func(t *testing.T) {
		staleWorld(t, func(t *testing.T, w *awssim.World, c clients) {
			put := func(value string) {
				must(c.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/p"), Value: &value, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}))(t)
			}
			put("old")
			bubble.Sleep(time.Minute)
			put("new")
			wantStale(t, func() bool {
				out := must(c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/p"), WithDecryption: aws.Bool(true)}))(t)
				if (*out.Parameter.Value == "new") != (out.Parameter.Version == 2) {
					t.Errorf("value %s at version %d", *out.Parameter.Value, out.Parameter.Version)
				}
				return out.Parameter.Version == 2
			})
		})
	})
}

func tag(t *testing.T, c clients, id string) {
	t.Helper()
	must(c.ec2.CreateTags(t.Context(), &ec2.CreateTagsInput{Resources: []string{id}, Tags: lateTag}))(t)
}

// TestRates: a bucket that is empty refuses, in the service's own words, and
// fills again.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Weather: awssim.Weather{Rates: true}}
		defer w.Close()
		c := connect(w, "controller")
		for _, tt := range []struct {
			name         string
			call         func() error
			burst, after int // how many pass at once, and how many after a second
			code         string
		}{
			{"all instances", func() error {
				_, err := c.ec2.DescribeInstances(t.Context(), nil)
				return err
			}, 50, 10, "RequestLimitExceeded"},
			{"a page of them", func() error {
				_, err := c.ec2.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(5)})
				return err
			}, 100, 20, "RequestLimitExceeded"},
			{"writes of parameters", func() error {
				_, err := c.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/p"), Value: aws.String("v"), Type: types.ParameterTypeString, Overwrite: aws.Bool(true)})
				return err
			}, 3, 3, "ThrottlingException"},
			{"groups", func() error {
				_, err := c.asg.DescribeAutoScalingGroups(t.Context(), nil)
				return err
			}, 40, 10, "Throttling"},
		} {
			for _, want := range []int{tt.burst, tt.after} {
				for n := range want {
					if err := tt.call(); err != nil {
						t.Errorf("%s: call %d of %d: %v", tt.name, n, want, err)
					}
				}
				wantCode(t, tt.call(), tt.code)
				bubble.Sleep(time.Second)
			}
		}
	})
}
