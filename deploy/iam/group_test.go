package iam_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// launched waits until a group has launched what it was asked for, which takes AWS some
// seconds at its worst.
func launched(t *testing.T, w *awssim.World, group string) {
	t.Helper()
	for range 600 {
		g, err := w.Group(group)
		if err != nil {
			t.Fatal(err)
		}
		if len(g.Members) >= g.Desired {
			w.Settle()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("group %s has launched nothing in a minute", group)
}

// The extra policy for a group that the configuration names lets the controller scale
// that group, which lacks the cluster's tag, and no other.
func TestGroupPolicyReachesOneGroup(t *testing.T) {
	for _, region := range partitions {
		t.Run(region, func(t *testing.T) {
			a := newAccount(t, region)
			a.world.PutLaunchTemplate("plain", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium"})
			for _, name := range []string{"named", "named-too"} {
				if err := a.world.PutGroup(awssim.GroupSpec{Name: name, Max: 5, LaunchTemplate: "plain"}); err != nil {
					t.Fatal(err)
				}
			}
			c := autoscaling.NewFromConfig(a.master)
			raise := func(name string) func() error {
				return func() error {
					return just(c.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &name, DesiredCapacity: aws.Int32(1)}))
				}
			}
			if err := raise("named")(); !denied(err) {
				t.Errorf("without the extra policy: %v", err)
			}
			v := values
			v.Partition, v.Region = a.world.Partition(), region
			text, err := iam.Group(v, "named")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.world.AttachPolicy("controller", text); err != nil {
				t.Fatal(err)
			}
			members := func() (ids []string) {
				launched(t, a.world, "named")
				for _, i := range a.world.Instances() {
					if i.Group == "named" {
						ids = append(ids, i.ID)
					}
				}
				return ids
			}
			a.check(t, []attempt{
				{"raising its group", raise("named"), true},
				{"raising a group whose name begins like it", raise("named-too"), false},
				{"protecting its instance", func() error {
					return just(c.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("named"), InstanceIds: members(), ProtectedFromScaleIn: aws.Bool(true)}))
				}, true},
				{"ending its instance", func() error {
					ids := members()
					if len(ids) == 0 {
						return nil
					}
					return just(c.TerminateInstanceInAutoScalingGroup(t.Context(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &ids[0], ShouldDecrementDesiredCapacity: aws.Bool(true)}))
				}, true},
				{"changing its bounds", func() error {
					return just(c.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("named"), MaxSize: aws.Int32(50)}))
				}, false},
			})
			var want []string
			for _, unused := range a.world.UnusedPermissions("controller") {
				if strings.Contains(unused, "named") && !strings.Contains(unused, "LifecycleAction") {
					want = append(want, unused)
				}
			}
			if len(want) > 0 {
				t.Errorf("allowed and used by nothing here: %q", want)
			}
		})
	}
	for _, name := range []string{"", "*", "named*", "${GROUP}", "a?"} {
		if text, err := iam.Group(values, name); err == nil {
			t.Errorf("group %q: rendered %s", name, text)
		}
	}
	if !slices.ContainsFunc(iam.Documents(), func(d iam.Document) bool { return d.Name == "controller-group" }) {
		t.Error("joinery iam does not list it")
	}
}
