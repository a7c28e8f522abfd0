package awssim_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/lab/awssim"
)

// TestPartitions: a region decides what is in all ARNs and names.
func TestPartitions(t *testing.T) {
	tests := []struct{ region, partition, domain, dns, zoneID string }{
		{"us-west-2", "aws", "amazonaws.com", "ip-10-99-0-11.us-west-2.compute.internal", "usw2-az1"},
		{"us-east-1", "aws", "amazonaws.com", "ip-10-99-0-11.ec2.internal", "use1-az1"},
		{"cn-northwest-1", "aws-cn", "amazonaws.com.cn", "ip-10-99-0-11.cn-northwest-1.compute.internal", "cnn1-az1"},
		{"us-gov-east-1", "aws-us-gov", "amazonaws.com", "ip-10-99-0-11.us-gov-east-1.compute.internal", "usge1-az1"},
	}
	for _, tt := range tests {
		t.Run(tt.region, func(t *testing.T) {
			w := &awssim.World{Region: tt.region}
			t.Cleanup(w.Close)
			if got := w.Partition(); got != tt.partition {
				t.Errorf("partition %s, want %s", got, tt.partition)
			}
			c := connect(w, "controller")
			template(w)
			if err := w.PutGroup(awssim.GroupSpec{Name: "g", LaunchTemplate: "nodes", Max: 1, Desired: 1}); err != nil {
				t.Fatal(err)
			}
			key := must(w.CreateKey("alias/k"))(t)
			must(c.ssm.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("/p/x"), Value: aws.String("v"), Type: "String"}))(t)
			parameter := must(c.ssm.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/p/x")}))(t)
			history := must(c.ssm.GetParameterHistory(t.Context(), &ssm.GetParameterHistoryInput{Name: aws.String("/p/x")}))(t)
			described := must(c.kms.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: &key}))(t)
			g := must(c.asg.DescribeAutoScalingGroups(t.Context(), nil))(t).AutoScalingGroups[0]
			i := must(c.ec2.DescribeInstances(t.Context(), nil))(t).Reservations[0].Instances[0]
			prefix, regional := "arn:"+tt.partition+":", ":"+tt.region+":123456789012:"
			for _, a := range []struct{ name, got, want string }{
				{"caller", *must(c.sts.GetCallerIdentity(t.Context(), nil))(t).Arn, prefix + "sts::123456789012:assumed-role/controller/lab"},
				{"modifier", *history.Parameters[0].LastModifiedUser, prefix + "sts::123456789012:assumed-role/controller/lab"},
				{"key", *described.KeyMetadata.Arn, prefix + "kms" + regional + "key/" + *described.KeyMetadata.KeyId},
				{"parameter", *parameter.Parameter.ARN, prefix + "ssm" + regional + "parameter/p/x"},
				{"group", (*g.AutoScalingGroupARN)[:len(prefix+"autoscaling"+regional+"autoScalingGroup:")], prefix + "autoscaling" + regional + "autoScalingGroup:"},
				{"service role", *g.ServiceLinkedRoleARN, prefix + "iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"},
				{"profile", *i.IamInstanceProfile.Arn, prefix + "iam::123456789012:instance-profile/node"},
				{"name", *i.PrivateDnsName, tt.dns},
				{"zone", *i.Placement.AvailabilityZoneId, tt.zoneID},
			} {
				if a.got != a.want {
					t.Errorf("%s is %s, want %s", a.name, a.got, a.want)
				}
			}
			for path, want := range map[string]string{"services/partition": tt.partition, "services/domain": tt.domain, "local-hostname": tt.dns} {
				if got, _ := read(t, metadata(w, *i.InstanceId), path); got != want {
					t.Errorf("%s is %s, want %s", path, got, want)
				}
			}
		})
	}
}
