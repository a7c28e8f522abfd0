package iam_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/docs/guide"
)

var awsCommand = regexp.MustCompile(`\baws (autoscaling|ec2|events|kms|sqs|ssm) ([a-z]+(?:-[a-z]+)+)`)

// told collects the actions of the aws commands that operators are told to run.
func told(t *testing.T, patterns ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("..", "..", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			for _, m := range awsCommand.FindAllStringSubmatch(operators(t, f), -1) {
				action := m[1] + ":"
				for word := range strings.SplitSeq(m[2], "-") {
					action += strings.ToUpper(word[:1]) + word[1:]
				}
				out[action] = true
			}
		}
	}
	return out
}

// operators returns the text of a file without the blocks of the guide's path: an
// administrator of the account gives those, to install and to uninstall.
func operators(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if filepath.Base(file) != "operate.md" {
		return text
	}
	blocks, err := guide.Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	// The longest first: a block may hold the commands of another.
	slices.SortFunc(blocks, func(a, b guide.Block) int { return len(b.Script) - len(a.Script) })
	for _, b := range blocks {
		text = strings.ReplaceAll(text, b.Script, "")
	}
	return text
}

func TestOperatorMayDoWhatTheGuideSays(t *testing.T) {
	// The commands that ask AWS do so through these files alone.
	want := called(t, "cmd/joinery", "controlplane/doctor", "controlplane/adopt", "controlplane/images", "controlplane/release", "internal/fleet/launch", "internal/fleet/awsfleet/instances.go")
	want["autoscaling:DescribeAutoScalingGroups"] = true // by awsfleet.Reader.Managed, beside calls that only the controller makes
	maps.Copy(want, told(t, "docs/operate.md", "docs/running.md", "docs/lifecycle.md", "controlplane/doctor/*.go"))
	delete(want, "ec2:DeleteTags") // by joinery release --leave, an administrator's
	want["kms:Decrypt"] = true     // SSM takes it on the caller's behalf
	wanted := slices.Sorted(maps.Keys(want))
	got := slices.Sorted(maps.Keys(allowed(load(t, func(v iam.Values) (string, error) { return iam.Render("operator", v) }))))
	if !slices.Equal(got, wanted) {
		t.Errorf("policy allows\n%q, joinery and the guide call\n%q", got, wanted)
	}
}

func TestOperatorIsBoundToTheCluster(t *testing.T) {
	for _, region := range partitions {
		t.Run(region, func(t *testing.T) {
			a := newAccount(t, region)
			v := all(region)
			v.Account, v.KMSKeyARN = a.world.AccountID, a.key
			text, err := iam.Render("operator", v)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.world.AttachPolicy("operator", text); err != nil {
				t.Fatal(err)
			}
			operator := a.world.Config("operator")
			operator.RetryMaxAttempts = 1
			a.check(t, operatorAttempts(t, a, operator))
			a.checkEvents(t, region)
			if unused := a.world.UnusedPermissions("operator"); len(unused) != 0 {
				t.Errorf("allowed and used by nothing here: %q", unused)
			}
		})
	}
}

// checkEvents holds rules and targets to the cluster's, by the policy's evaluation:
// EventBridge's API is not simulated.
func (a *account) checkEvents(t *testing.T, region string) {
	t.Helper()
	for rule, may := range map[string]bool{"joinery-demo": true, "joinery-demo-state": true, "joinery-other": false, "joinery-other-state": false} {
		for _, action := range []string{"events:PutRule", "events:PutTargets"} {
			arn := "arn:" + a.world.Partition() + ":events:" + region + ":" + a.world.AccountID + ":rule/" + rule
			if got := a.world.Simulate("operator", action, arn, nil); got != may {
				t.Errorf("%s on %s: allowed %t", action, rule, got)
			}
		}
	}
}

func operatorAttempts(t *testing.T, a *account, operator aws.Config) []attempt {
	ctx := t.Context()
	parameters, groups, instances, queues := ssm.NewFromConfig(operator), autoscaling.NewFromConfig(operator), ec2.NewFromConfig(operator), sqs.NewFromConfig(operator)
	hook := func(group string) func() error {
		return func() error {
			return just(groups.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: &group, LifecycleHookName: aws.String("joinery-launch"),
				LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"), HeartbeatTimeout: aws.Int32(300), DefaultResult: aws.String("ABANDON")}))
		}
	}
	unhook := func(group string) func() error {
		return func() error {
			return just(groups.DeleteLifecycleHook(ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: &group, LifecycleHookName: aws.String("joinery-launch")}))
		}
	}
	protection := func(group string) func() error {
		return func() error {
			return just(groups.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: &group, InstanceIds: []string{a.ours}, ProtectedFromScaleIn: aws.Bool(false)}))
		}
	}
	untag := func(group string) func() error {
		return func() error {
			return just(groups.DeleteTags(ctx, &autoscaling.DeleteTagsInput{Tags: []types.Tag{{ResourceId: &group, ResourceType: aws.String("auto-scaling-group"), Key: aws.String("joinery:cluster")}}}))
		}
	}
	queue := func(name string) func() error {
		return func() error { return just(queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})) }
	}
	remove := func(name string) func() error {
		return func() error {
			return just(parameters.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name}))
		}
	}
	return []attempt{
		{"seeing instances", func() error { return just(instances.DescribeInstances(ctx, nil)) }, true},
		{"seeing groups", func() error { return just(groups.DescribeAutoScalingGroups(ctx, nil)) }, true},
		{"seeing templates", func() error {
			return just(instances.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("workers")}))
		}, true},
		{"seeing images", func() error { return just(instances.DescribeImages(ctx, nil)) }, true},
		{"the bundle", func() error { return just(parameters.GetParameter(ctx, read(ourParameter))) }, true},
		{"other cluster's bundle", func() error { return just(parameters.GetParameter(ctx, read(theirParameter))) }, false},
		{"publishing a bundle", func() error { return just(parameters.PutParameter(ctx, write(ourParameter, a.key))) }, false},
		{"dropping the bundle", remove(ourParameter), true},
		{"dropping the other cluster's", remove(theirParameter), false},
		{"key outside SSM", func() error {
			return just(kms.NewFromConfig(operator).Encrypt(ctx, &kms.EncryptInput{KeyId: &a.key, Plaintext: []byte("x")}))
		}, false},
		{"hook of a group", hook("demo"), true},
		{"hook of the other cluster's", hook("other"), false},
		{"seeing hooks", func() error {
			return just(groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String("demo")}))
		}, true},
		{"protection of the other cluster's", protection("other"), false},
		{"tag of the other cluster's", untag("other"), false},
		{"tag of a group", untag("demo"), true},
		{"protection of a group that lost it", protection("demo"), true},
		{"deleting its hook", unhook("demo"), true},
		{"deleting the hook of the other cluster's", unhook("other"), false},
		{"the queue", queue("joinery-demo"), true},
		{"another queue", queue("joinery-other"), false},
		{"ending an instance", func() error {
			return just(instances.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{a.ours}}))
		}, false},
		{"a group's size", func() error {
			return just(groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("demo"), DesiredCapacity: aws.Int32(3)}))
		}, false},
	}
}
