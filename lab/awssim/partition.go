package awssim

import "strings"

// Partition is the partition of the world's region, as it stands in ARNs: aws,
// aws-cn in China, or aws-us-gov.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
func (w *World) Partition() string {
	w.start()
	switch {
	case strings.HasPrefix(w.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(w.Region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// dnsSuffix ends the host names of the partition's services.
// https://docs.aws.amazon.com/general/latest/gr/rande.html
func (w *World) dnsSuffix() string {
	if w.Partition() == "aws-cn" {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

// iamRegion is the region that requests to IAM are signed for, which has one endpoint in
// a partition.
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html
func (w *World) iamRegion() string {
	return map[string]string{"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}[w.Partition()]
}

// arn forms the ARN of a resource of a regional service.
func (w *World) arn(service, resource string) string {
	return "arn:" + w.Partition() + ":" + service + ":" + w.Region + ":" + w.AccountID + ":" + resource
}

// globalARN forms the ARN of a resource of a service without regions.
func (w *World) globalARN(service, resource string) string {
	return "arn:" + w.Partition() + ":" + service + "::" + w.AccountID + ":" + resource
}

// sessionARN names a caller, as GetCallerIdentity does.
func (w *World) sessionARN(p principal) string {
	return w.globalARN("sts", "assumed-role/"+p.role+"/"+p.session)
}

// shortRegion is the region part of a zone id: us-west-2 is usw2, and
// us-gov-west-1 is usgw1.
func shortRegion(region string) string {
	parts := strings.Split(region, "-")
	if len(parts) < 3 {
		return region
	}
	short := parts[0]
	for _, word := range parts[1 : len(parts)-1] {
		short += word[:1]
	}
	return short + parts[len(parts)-1]
}
