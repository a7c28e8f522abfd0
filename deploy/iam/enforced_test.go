package iam_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	asgtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/lab/awssim"
)

// account holds two clusters, demo and other, and a caller for each role.
type account struct {
	world         *awssim.World
	key, otherKey string // ARNs
	ours, theirs  string // an instance of each cluster's group

	node, master, administrator aws.Config
}

const (
	ourParameter   = "/joinery/demo/join"
	theirParameter = "/joinery/other/join"
)

// newAccount attaches both policies, as rendered for the cluster demo.
func newAccount(t *testing.T, region string) *account {
	t.Helper()
	w := &awssim.World{Region: region}
	t.Cleanup(w.Close)
	a := &account{world: w, node: w.Config("node"), master: w.Config("controller"), administrator: w.Config("administrator")}
	a.node.RetryMaxAttempts, a.master.RetryMaxAttempts = 1, 1
	var err error
	if a.key, err = w.CreateKey("alias/demo"); err != nil {
		t.Fatal(err)
	}
	if a.otherKey, err = w.CreateKey("alias/other"); err != nil {
		t.Fatal(err)
	}
	admin := ssm.NewFromConfig(a.administrator)
	for name, key := range map[string]string{ourParameter: a.key, theirParameter: a.otherKey} {
		if _, err := admin.PutParameter(t.Context(), write(name, key)); err != nil {
			t.Fatal(err)
		}
	}
	w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "m5.large"})
	for _, cluster := range []string{"demo", "other"} {
		err := w.PutGroup(awssim.GroupSpec{Name: cluster, LaunchTemplate: "workers", Max: 3, Desired: 2, Tags: []awssim.Tag{{Key: "joinery:cluster", Value: cluster}, {Key: "k8s.io/cluster-autoscaler/" + cluster}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	a.ours, a.theirs = a.member(t, "demo"), a.member(t, "other")
	v := iam.Values{Partition: w.Partition(), Region: region, Account: w.AccountID, Cluster: "demo", KMSKeyARN: a.key}
	for role, render := range map[string]func(iam.Values) (string, error){"node": iam.Node, "controller": iam.Controller} {
		text, err := render(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.AttachPolicy(role, text); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a *account) member(t *testing.T, group string) string {
	t.Helper()
	g, err := a.world.Group(group)
	if err != nil {
		t.Fatal(err)
	}
	return g.Members[0].InstanceID
}

func write(name, key string) *ssm.PutParameterInput {
	return &ssm.PutParameterInput{Name: &name, KeyId: &key, Value: aws.String("bundle"), Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}
}

func read(name string) *ssm.GetParameterInput {
	return &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)}
}

// attempt is one call and whether the role may make it.
type attempt struct {
	name string
	call func() error
	may  bool
}

func (a *account) check(t *testing.T, attempts []attempt) {
	t.Helper()
	for _, tt := range attempts {
		err := tt.call()
		for range 100 {
			if !throttled(err) {
				break
			}
			time.Sleep(100 * time.Millisecond)
			err = tt.call()
		}
		switch {
		case tt.may && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case !tt.may && !denied(err):
			t.Errorf("%s is not refused: %v", tt.name, err)
		}
	}
}

// denied reports that a service refused for want of a permission.
func denied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (strings.HasPrefix(api.ErrorCode(), "AccessDenied") || api.ErrorCode() == "UnauthorizedOperation")
}

// throttled reports that a service refused for too many requests.
func throttled(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (strings.HasPrefix(api.ErrorCode(), "Throttling") || api.ErrorCode() == "RequestLimitExceeded")
}

// just drops a call's result.
func just[T any](_ T, err error) error { return err }

// partitions: one region of each, so that a policy that is right for one only
// is seen.
var partitions = []string{"us-west-2", "cn-north-1", "us-gov-west-1"}

func TestNodeMayReadItsBundleAndNoMore(t *testing.T) {
	for _, region := range partitions {
		t.Run(region, func(t *testing.T) {
			a := newAccount(t, region)
			ctx := t.Context()
			parameters, keys, groups, instances := ssm.NewFromConfig(a.node), kms.NewFromConfig(a.node), autoscaling.NewFromConfig(a.node), ec2.NewFromConfig(a.node)
			context := map[string]string{"PARAMETER_ARN": "arn:" + a.world.Partition() + ":ssm:" + region + ":" + a.world.AccountID + ":parameter" + ourParameter}
			sealed, err := kms.NewFromConfig(a.administrator).Encrypt(ctx, &kms.EncryptInput{KeyId: &a.key, Plaintext: []byte("x"), EncryptionContext: context})
			if err != nil {
				t.Fatal(err)
			}
			a.check(t, []attempt{
				{"own bundle", func() error { return just(parameters.GetParameter(ctx, read(ourParameter))) }, true},
				{"who am I", func() error { return just(sts.NewFromConfig(a.node).GetCallerIdentity(ctx, nil)) }, true},
				{"other cluster's bundle", func() error { return just(parameters.GetParameter(ctx, read(theirParameter))) }, false},
				{"parameter below its own", func() error { return just(parameters.GetParameter(ctx, read(ourParameter+"/x"))) }, false},
				{"several parameters", func() error {
					return just(parameters.GetParameters(ctx, &ssm.GetParametersInput{Names: []string{ourParameter}}))
				}, false},
				{"old bundles", func() error {
					return just(parameters.GetParameterHistory(ctx, &ssm.GetParameterHistoryInput{Name: aws.String(ourParameter)}))
				}, false},
				{"list of parameters", func() error { return just(parameters.DescribeParameters(ctx, nil)) }, false},
				{"overwriting the bundle", func() error { return just(parameters.PutParameter(ctx, write(ourParameter, a.key))) }, false},
				{"deleting the bundle", func() error {
					return just(parameters.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(ourParameter)}))
				}, false},
				{"key outside SSM", func() error {
					return just(keys.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: context}))
				}, false},
				{"encrypting", func() error { return just(keys.Encrypt(ctx, &kms.EncryptInput{KeyId: &a.key, Plaintext: []byte("x")})) }, false},
				{"other key", func() error {
					return just(keys.Encrypt(ctx, &kms.EncryptInput{KeyId: &a.otherKey, Plaintext: []byte("x")}))
				}, false},
				{"group's size", func() error {
					return just(groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("demo"), DesiredCapacity: aws.Int32(3)}))
				}, false},
				{"ending an instance in its group", func() error {
					return just(groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &a.ours, ShouldDecrementDesiredCapacity: aws.Bool(true)}))
				}, false},
				{"completing a hook", func() error {
					return just(groups.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String("demo"), LifecycleHookName: aws.String("h"), InstanceId: &a.ours, LifecycleActionResult: aws.String("CONTINUE")}))
				}, false},
				{"protecting itself", func() error {
					return just(groups.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("demo"), InstanceIds: []string{a.ours}, ProtectedFromScaleIn: aws.Bool(true)}))
				}, false},
				{"seeing groups", func() error { return just(groups.DescribeAutoScalingGroups(ctx, nil)) }, false},
				{"seeing instances", func() error { return just(instances.DescribeInstances(ctx, nil)) }, false},
				{"ending an instance", func() error {
					return just(instances.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{a.ours}}))
				}, false},
			})
			if unused := a.world.UnusedPermissions("node"); len(unused) != 0 {
				t.Errorf("not needed to read the bundle: %q", unused)
			}
		})
	}
}

func TestControllerIsBoundToItsCluster(t *testing.T) {
	for _, region := range partitions {
		t.Run(region, func(t *testing.T) {
			a := newAccount(t, region)
			ctx := t.Context()
			parameters, keys, groups, instances := ssm.NewFromConfig(a.master), kms.NewFromConfig(a.master), autoscaling.NewFromConfig(a.master), ec2.NewFromConfig(a.master)
			resize := func(group string) func() error {
				return func() error {
					return just(groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &group, DesiredCapacity: aws.Int32(3)}))
				}
			}
			protect := func(group, id string) func() error {
				return func() error {
					return just(groups.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: &group, InstanceIds: []string{id}, ProtectedFromScaleIn: aws.Bool(true)}))
				}
			}
			end := func(id string) func() error {
				return func() error {
					return just(groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: aws.Bool(true)}))
				}
			}
			a.check(t, []attempt{
				{"own bundle", func() error { return just(parameters.GetParameter(ctx, read(ourParameter))) }, true},
				{"publishing the bundle", func() error { return just(parameters.PutParameter(ctx, write(ourParameter, a.key))) }, true},
				{"publishing under the other cluster's key", func() error { return just(parameters.PutParameter(ctx, write(ourParameter, a.otherKey))) }, false},
				{"other cluster's bundle", func() error { return just(parameters.GetParameter(ctx, read(theirParameter))) }, false},
				{"publishing the other cluster's bundle", func() error { return just(parameters.PutParameter(ctx, write(theirParameter, a.key))) }, false},
				{"deleting the bundle", func() error {
					return just(parameters.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String(ourParameter)}))
				}, false},
				{"key outside SSM", func() error { return just(keys.Encrypt(ctx, &kms.EncryptInput{KeyId: &a.key, Plaintext: []byte("x")})) }, false},
				{"own group's size", resize("demo"), true},
				{"other group's size", resize("other"), false},
				{"protecting a member", protect("demo", a.ours), true},
				{"protecting the other cluster's", protect("other", a.theirs), false},
				{"ending a member", end(a.ours), true},
				{"ending the other cluster's", end(a.theirs), false},
				{"taking a group over by its tags", func() error {
					return just(groups.CreateOrUpdateTags(ctx, &autoscaling.CreateOrUpdateTagsInput{Tags: []asgtypes.Tag{{ResourceId: aws.String("other"), ResourceType: aws.String("auto-scaling-group"), Key: aws.String("joinery:cluster"), Value: aws.String("demo")}}}))
				}, false},
				{"ending an instance past its group", func() error {
					return just(instances.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{a.ours}}))
				}, false},
				{"deleting a group", func() error {
					return just(groups.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("demo"), ForceDelete: aws.Bool(true)}))
				}, false},
				{"seeing groups", func() error { return just(groups.DescribeAutoScalingGroups(ctx, nil)) }, true},
				{"seeing instance refreshes", func() error {
					return just(groups.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("demo")}))
				}, true},
				{"seeing activities", func() error { return just(groups.DescribeScalingActivities(ctx, nil)) }, true},
				{"seeing instances", func() error { return just(instances.DescribeInstances(ctx, nil)) }, true},
				{"seeing templates", func() error {
					return just(instances.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("workers")}))
				}, true},
				{"seeing types", func() error { return just(instances.DescribeInstanceTypes(ctx, nil)) }, true},
				{"seeing images", func() error { return just(instances.DescribeImages(ctx, nil)) }, true},
				{"tagging an image as another version", func() error {
					return just(instances.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{awssim.DefaultImageID}, Tags: []ec2types.Tag{{Key: aws.String("joinery:version"), Value: aws.String("9.9.9")}}}))
				}, false},
			})
			for _, see := range describeCalls(t, groups) {
				if err := see(); err != nil && !denied(err) {
					t.Error(err)
				}
			}
			for group, id := range map[string]string{"demo": a.ours, "other": a.theirs} {
				for name, call := range hookCalls(t, groups, group, id) {
					if err := call(); group == "other" && !denied(err) {
						t.Errorf("%s of the other cluster is not refused: %v", name, err)
					}
				}
			}
			if unused := a.world.UnusedPermissions("controller"); len(unused) != 0 {
				t.Errorf("allowed and used by nothing here: %q", unused)
			}
		})
	}
}

// hookCalls are the calls about one instance's lifecycle. Whether there is
// anything to complete does not matter to who may try.
func hookCalls(t *testing.T, groups *autoscaling.Client, group, id string) map[string]func() error {
	ctx, hook := t.Context(), aws.String("joinery")
	return map[string]func() error{
		"completing a hook": func() error {
			return just(groups.CompleteLifecycleAction(ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: &group, LifecycleHookName: hook, InstanceId: &id, LifecycleActionResult: aws.String("CONTINUE")}))
		},
		"extending a hook": func() error {
			return just(groups.RecordLifecycleActionHeartbeat(ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: &group, LifecycleHookName: hook, InstanceId: &id}))
		},
	}
}

// describeCalls are on no group, so whoever may make one sees them all.
func describeCalls(t *testing.T, groups *autoscaling.Client) []func() error {
	ctx, ours := t.Context(), aws.String("demo")
	return []func() error{
		func() error { return just(groups.DescribeAutoScalingInstances(ctx, nil)) },
		func() error {
			return just(groups.DescribeWarmPool(ctx, &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: ours}))
		},
		func() error {
			return just(groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: ours}))
		},
	}
}
