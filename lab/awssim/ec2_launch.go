package awssim

import (
	"encoding/base64"
	"maps"
	"strconv"
	"strings"
	"time"
)

// launch is everything that decides what a new instance is.
type launch struct {
	data       LaunchTemplateData
	template   *launchTemplate // nil: none
	version    int64
	zone       string
	vpc        string          // none: the world's
	interfaces []InterfaceSpec // none: one with the next free address
	group      string
	tags       map[string]string
}

// launchLocked puts a new instance into the table and boots it.
func (w *World) launchLocked(l launch) (*instance, error) {
	d := l.data
	t, ok := w.types[d.InstanceType]
	if !ok {
		return nil, fail("InvalidParameterValue", "Invalid value '%s' for InstanceType.", d.InstanceType)
	}
	s, ok := w.subnetOf(l.zone)
	if !ok {
		return nil, fail("InvalidParameterValue", "Invalid availability zone: [%s]", l.zone)
	}
	userData, err := base64.StdEncoding.DecodeString(d.UserData)
	if err != nil {
		return nil, fail("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	tags := w.launchTags(l)
	if err := checkMetadataTags(d.InstanceMetadataTags, userTags(tags)); err != nil {
		return nil, err
	}
	setDefault(&d.ImageID, DefaultImageID)
	m, err := w.launchableLocked(d.ImageID, t)
	if err != nil {
		return nil, err
	}
	devices, err := override(m.BlockDevices, d.BlockDevices)
	if err != nil {
		return nil, err
	}
	if err := w.checkKeyLocked(d.KeyName); err != nil {
		return nil, err
	}
	if w.noCapacityLocked(t.Name, l.zone) {
		return nil, w.insufficientCapacityLocked(t.Name, l.zone)
	}
	interfaces, err := w.interfacesLocked(l.interfaces)
	if err != nil {
		return nil, err
	}
	i := &instance{imdsTokens: map[string]time.Time{}, shutdownBehavior: d.ShutdownBehavior, rootDevice: m.RootDevice}
	i.ID, i.reservID = w.idLocked("i-"), w.idLocked("r-")
	i.Type, i.Architecture, i.VCPUs, i.MemoryMiB = t.Name, t.Architecture, t.VCPUs, t.MemoryMiB
	i.Interfaces, i.PrivateIP, i.MAC = interfaces, interfaces[0].PrivateIPs[0], interfaces[0].MAC
	i.PrivateDNSName = w.privateDNSName(i.PrivateIP)
	i.Zone, i.ZoneID, i.SubnetID, i.VPCID = s.zone, s.zoneID, s.id, l.vpc
	setDefault(&i.VPCID, w.VPCID)
	i.UserData, i.Tags, i.Role = userData, tags, w.profileRole(d)
	i.SecurityGroups, i.KeyName, i.ImageID = d.SecurityGroupIDs, d.KeyName, d.ImageID
	if k := w.keyPairs[d.KeyName]; k != nil {
		i.PublicKey = k.public
	}
	i.HTTPTokens, i.HTTPEndpoint, i.HopLimit, i.InstanceMetadataTags = d.HTTPTokens, d.HTTPEndpoint, d.HopLimit, d.InstanceMetadataTags
	// The account's own default is IMDSv2 only, as AWS lets an account set it.
	setDefault(&i.HTTPTokens, "required")
	setDefault(&i.HTTPEndpoint, "enabled")
	if m.IMDSSupport == "v2.0" {
		setDefault(&i.HopLimit, 2)
	}
	setDefault(&i.HopLimit, 1)
	setDefault(&i.InstanceMetadataTags, "disabled")
	i.Group = l.group
	if l.template != nil {
		i.LaunchTemplateID, i.LaunchTemplateName, i.LaunchTemplateVersion = l.template.id, l.template.name, l.version
	}
	i.State, i.LaunchTime = Pending, time.Now()
	i.pendingTime = i.LaunchTime
	w.attachLocked(i, devices, m.RootDevice, d.VolumeTags)
	if len(d.InterfaceTags) > 0 {
		for _, e := range interfaces {
			w.tags[e.ID] = maps.Clone(d.InterfaceTags)
		}
	}
	w.instances[i.ID] = i
	w.order = append(w.order, i.ID)
	return i, nil
}

// launchTags merges template tags, group tags and the ones that AWS itself sets.
func (w *World) launchTags(l launch) map[string]string {
	tags := map[string]string{}
	maps.Copy(tags, l.data.InstanceTags)
	maps.Copy(tags, l.tags)
	if l.group != "" {
		tags["aws:autoscaling:groupName"] = l.group
	}
	if l.template != nil {
		tags["aws:ec2launchtemplate:id"] = l.template.id
		tags["aws:ec2launchtemplate:version"] = strconv.FormatInt(l.version, 10)
	}
	return tags
}

func userTags(tags map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range tags {
		if !strings.HasPrefix(k, "aws:") {
			out[k] = v
		}
	}
	return out
}

// profileRole is the role of an instance profile. Those that were not made through IAM
// bear the name of their role.
func (w *World) profileRole(d LaunchTemplateData) string {
	name := d.RoleName
	if name == "" {
		_, name, _ = strings.Cut(d.ProfileARN, ":instance-profile/")
		name = name[strings.LastIndex(name, "/")+1:]
	}
	if p := w.profiles[name]; p != nil {
		return p.role
	}
	return name
}

func (w *World) profileARN(role string) string {
	return w.globalARN("iam", "instance-profile/"+role)
}

// insufficientCapacityLocked words the error as EC2 does, naming the zones that
// would do.
func (w *World) insufficientCapacityLocked(instanceType, zone string) error {
	var others []string
	for _, z := range w.Zones {
		if z != zone && !w.capacityBlockedLocked(instanceType, z) {
			others = append(others, z)
		}
	}
	hint := "."
	if len(others) > 0 {
		hint = ". You can currently get " + instanceType + " capacity by not specifying an Availability Zone in your request or choosing " + strings.Join(others, ", ") + "."
	}
	e := fail("InsufficientInstanceCapacity", "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity%s", instanceType, zone, hint)
	e.status = 500
	return e
}
