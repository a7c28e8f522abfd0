package main

import (
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

const account = "123456789012"

// site is where the provider works.
type site struct{ region string }

func (s site) partition() string {
	switch {
	case strings.HasPrefix(s.region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(s.region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

func (s site) suffix() string {
	if s.partition() == "aws-cn" {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// facts answer the data sources, by attribute.
func (s site) facts() map[string]string {
	return map[string]string{
		"account_id": account, "partition": s.partition(), "dns_suffix": s.suffix(), "region": s.region, "name": s.region,
		"id": s.region, "arn": "arn:" + s.partition() + ":sts::" + account + ":assumed-role/terraform/check",
	}
}

// arns are the middle of ARNs: after the partition, before the resource's name.
var arns = map[string]string{
	"aws_iam_role":              "iam::" + account + ":role/",
	"aws_iam_instance_profile":  "iam::" + account + ":instance-profile/",
	"aws_kms_key":               "kms:%:" + account + ":key/",
	"aws_kms_alias":             "kms:%:" + account + ":",
	"aws_sqs_queue":             "sqs:%:" + account + ":",
	"aws_cloudwatch_event_rule": "events:%:" + account + ":rule/",
	"aws_autoscaling_group":     "autoscaling:%:" + account + ":autoScalingGroup:uuid:autoScalingGroupName/",
	"aws_launch_template":       "ec2:%:" + account + ":launch-template/",
	"aws_security_group":        "ec2:%:" + account + ":security-group/",
}

var unfit = regexp.MustCompile(`[^A-Za-z0-9/._-]+`)

// named is what tells a resource from others of its type.
func named(typ string, v map[string]tftypes.Value) string {
	for _, attribute := range []string{"name", "description"} {
		if t := text(v[attribute]); t != "" {
			return unfit.ReplaceAllString(t, "-")
		}
	}
	return strings.TrimPrefix(typ, "aws_")
}

// computed is what the provider sets: of strings something that names the resource and
// the attribute, of numbers 1. Collections stay null, and so
// does the other way to name something.
func (s site) computed(typ, attribute string, kind tftypes.Type, v map[string]tftypes.Value) tftypes.Value {
	name := named(typ, v)
	switch {
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, 1)
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, false)
	case !kind.Is(tftypes.String) || attribute == "name_prefix":
		return tftypes.NewValue(kind, nil)
	case attribute == "region":
		return tftypes.NewValue(kind, s.region)
	case attribute == "arn" && arns[typ] != "":
		return tftypes.NewValue(kind, "arn:"+s.partition()+":"+strings.Replace(arns[typ], "%", s.region, 1)+name)
	case attribute == "url" || typ == "aws_sqs_queue" && attribute == "id":
		return tftypes.NewValue(kind, "https://sqs."+s.region+"."+s.suffix()+"/"+account+"/"+name)
	case attribute == "id" && (typ == "aws_iam_role" || typ == "aws_iam_instance_profile" || typ == "aws_autoscaling_group"):
		return tftypes.NewValue(kind, name)
	case attribute == "id":
		return tftypes.NewValue(kind, strings.TrimPrefix(typ, "aws_")+"-"+name)
	default:
		return tftypes.NewValue(kind, attribute+"-"+name)
	}
}
