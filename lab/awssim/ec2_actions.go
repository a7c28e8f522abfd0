package awssim

import (
	"regexp"
	"strings"
	"time"
)

func ec2Actions() map[string]action {
	const list = "Filter MaxResults NextToken "
	return map[string]action{
		"DescribeInstances":              {(*World).describeInstances, list + "InstanceId"},
		"DescribeInstanceStatus":         {(*World).describeInstanceStatus, list + "InstanceId IncludeAllInstances"},
		"TerminateInstances":             {(*World).terminateInstances, "InstanceId"},
		"StopInstances":                  {(*World).stopInstances, "InstanceId Force"},
		"StartInstances":                 {(*World).startInstances, "InstanceId"},
		"RebootInstances":                {(*World).rebootInstances, "InstanceId"},
		"CreateTags":                     {(*World).createTags, "ResourceId Tag"},
		"DeleteTags":                     {(*World).deleteTags, "ResourceId Tag"},
		"DescribeInstanceTypes":          {(*World).describeInstanceTypes, list + "InstanceType"},
		"DescribeAvailabilityZones":      {(*World).describeZones, "Filter ZoneName ZoneId AllAvailabilityZones"},
		"DescribeSubnets":                {(*World).describeSubnets, list + "SubnetId"},
		"DescribeVpcs":                   {(*World).describeVPCs, list + "VpcId"},
		"DescribeRegions":                {(*World).describeRegions, "Filter RegionName AllRegions"},
		"DescribeInstanceTypeOfferings":  {(*World).describeOfferings, list + "LocationType"},
		"DescribeTags":                   {(*World).describeTags, list},
		"RunInstances":                   {(*World).runInstances, runFields},
		"ModifyInstanceAttribute":        {(*World).modifyInstanceAttribute, "InstanceId EnaSupport SriovNetSupport"},
		"DescribeImages":                 {(*World).describeImages, list + "ImageId Owner IncludeDeprecated IncludeDisabled"},
		"CreateImage":                    {(*World).createImage, "InstanceId Name Description NoReboot BlockDeviceMapping TagSpecification"},
		"DeregisterImage":                {(*World).deregisterImage, "ImageId"},
		"ModifyImageAttribute":           {(*World).modifyImageAttribute, "ImageId Attribute Description ImdsSupport"},
		"DescribeSnapshots":              {(*World).describeSnapshots, list + "SnapshotId Owner"},
		"DeleteSnapshot":                 {(*World).deleteSnapshot, "SnapshotId"},
		"DescribeVolumes":                {(*World).describeVolumes, list + "VolumeId"},
		"DeleteVolume":                   {(*World).deleteVolume, "VolumeId"},
		"CreateKeyPair":                  {(*World).createKeyPair, "KeyName KeyType KeyFormat TagSpecification"},
		"ImportKeyPair":                  {(*World).importKeyPair, "KeyName PublicKeyMaterial TagSpecification"},
		"DeleteKeyPair":                  {(*World).deleteKeyPair, "KeyName KeyPairId"},
		"DescribeKeyPairs":               {(*World).describeKeyPairs, "Filter KeyName"},
		"CreateSecurityGroup":            {(*World).createSecurityGroup, "GroupName GroupDescription VpcId TagSpecification"},
		"DescribeSecurityGroups":         {(*World).describeSecurityGroups, list + "GroupId"},
		"AuthorizeSecurityGroupIngress":  {(*World).authorizeIngress, "GroupId IpPermissions"},
		"DeleteSecurityGroup":            {(*World).deleteSecurityGroup, "GroupId"},
		"CreateLaunchTemplate":           {(*World).createTemplate, "LaunchTemplateName LaunchTemplateData VersionDescription TagSpecification"},
		"CreateLaunchTemplateVersion":    {(*World).createTemplateVersion, "LaunchTemplateId LaunchTemplateName LaunchTemplateData SourceVersion VersionDescription"},
		"ModifyLaunchTemplate":           {(*World).modifyTemplate, "LaunchTemplateId LaunchTemplateName SetDefaultVersion"},
		"DescribeLaunchTemplates":        {(*World).describeTemplates, list + "LaunchTemplateId LaunchTemplateName"},
		"DescribeLaunchTemplateVersions": {(*World).describeTemplateVersions, "MaxResults NextToken LaunchTemplateId LaunchTemplateName LaunchTemplateVersion MinVersion MaxVersion"},
	}
}

var instanceID = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// namedInstancesLocked finds the instances of a request; one unknown id fails
// the whole call, as in EC2.
func (w *World) namedInstancesLocked(req *request) ([]*instance, error) {
	var out []*instance
	var unknown []string
	for _, id := range req.form.strs("InstanceId") {
		if !instanceID.MatchString(id) {
			return nil, fail("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		}
		i := w.instances[id]
		if i == nil || w.lateLocked(i, func(f Fault) time.Duration { return f.LateDescribe }) {
			unknown = append(unknown, id)
			continue
		}
		out = append(out, i)
	}
	if len(unknown) == 1 {
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", unknown[0])
	}
	if len(unknown) > 1 {
		return nil, fail("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(unknown, ", "))
	}
	return out, nil
}

// pageSize reads MaxResults, which EC2 does not combine with ids.
func pageSize(req *request, idParam string, least, most int) (int, error) {
	n, given, err := req.form.integer("ec2", "MaxResults")
	switch {
	case err != nil:
		return 0, err
	case !given:
		return most, nil
	case len(req.form.strs(idParam)) > 0:
		return 0, fail("InvalidParameterCombination", "The parameter %ss cannot be used with the parameter maxResults", idParam)
	case n < least || n > most:
		return 0, fail("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", n, least, most)
	}
	return n, nil
}

func badToken() error {
	return fail("InvalidNextToken", "The token is invalid.")
}
