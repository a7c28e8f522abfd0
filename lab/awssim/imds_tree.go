package awssim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lookup finds a leaf, or lists a directory as the metadata service does: names
// in order, those of directories with a slash.
func lookup(leaves map[string]string, path string) (string, bool) {
	if body, ok := leaves[path]; ok {
		return body, true
	}
	prefix := strings.TrimSuffix(path, "/") + "/"
	if body, ok := leaves[prefix]; ok { // a directory with a listing of its own
		return body, true
	}
	var names []string
	for leaf := range leaves {
		rest, ok := strings.CutPrefix(leaf, prefix)
		if !ok {
			continue
		}
		if name, _, dir := strings.Cut(rest, "/"); dir {
			rest = name + "/"
		}
		if !slices.Contains(names, rest) {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "\n"), len(names) > 0
}

// treeLocked is an instance's metadata, path below /latest/ to content. What an
// instance has not got is not in it and so is a 404.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-metadata.html
func (w *World) treeLocked(i *instance) map[string]string {
	t := map[string]string{}
	meta := func(path, value string) {
		if value != "" {
			t["meta-data/"+path] = value
		}
	}
	meta("ami-id", i.ImageID)
	meta("ami-launch-index", "0")
	meta("instance-id", i.ID)
	meta("instance-type", i.Type)
	meta("instance-life-cycle", "on-demand")
	meta("instance-action", "none")
	meta("local-ipv4", i.PrivateIP)
	if ips := i.ipv6(); len(ips) > 0 {
		meta("ipv6", ips[0])
	}
	meta("local-hostname", i.PrivateDNSName)
	meta("hostname", i.PrivateDNSName)
	meta("mac", i.MAC)
	meta("reservation-id", i.reservID)
	meta("security-groups", strings.Join(i.SecurityGroups, "\n"))
	if i.PublicKey != "" {
		meta("public-keys/", "0="+i.KeyName)
		meta("public-keys/0/openssh-key", i.PublicKey+"\n")
	}
	meta("placement/availability-zone", i.Zone)
	meta("placement/availability-zone-id", i.ZoneID)
	meta("placement/region", w.Region)
	meta("services/domain", w.dnsSuffix())
	meta("services/partition", w.Partition())
	w.networkTree(i, meta)
	w.roleTreeLocked(i, meta)
	w.identityRoleTreeLocked(i, meta)
	w.eventTree(i, meta)
	meta("autoscaling/target-lifecycle-state", i.target)
	if i.InstanceMetadataTags == "enabled" {
		for k, v := range i.Tags {
			t["meta-data/tags/instance/"+k] = v
		}
	}
	w.identityTreeLocked(i, t)
	return t
}

func (w *World) networkTree(i *instance, meta func(path, value string)) {
	for _, e := range i.Interfaces {
		w.interfaceTree(i, e, meta)
	}
}

func (w *World) interfaceTree(i *instance, e NetworkInterface, meta func(path, value string)) {
	dir := "network/interfaces/macs/" + e.MAC + "/"
	meta(dir+"device-number", strconv.Itoa(e.DeviceIndex))
	meta(dir+"interface-id", e.ID)
	meta(dir+"local-hostname", w.privateDNSName(e.PrivateIPs[0]))
	meta(dir+"local-ipv4s", strings.Join(e.PrivateIPs, "\n"))
	meta(dir+"ipv6s", strings.Join(e.IPv6, "\n"))
	meta(dir+"mac", e.MAC)
	meta(dir+"owner-id", w.AccountID)
	meta(dir+"security-group-ids", strings.Join(i.SecurityGroups, "\n"))
	meta(dir+"subnet-id", i.SubnetID)
	meta(dir+"subnet-ipv4-cidr-block", w.CIDR)
	meta(dir+"vpc-id", i.VPCID)
	meta(dir+"vpc-ipv4-cidr-block", w.CIDR)
	meta(dir+"vpc-ipv4-cidr-blocks", w.CIDR)
}

// roleTreeLocked hands out the credentials of the instance's role.
func (w *World) roleTreeLocked(i *instance, meta func(path, value string)) {
	if i.Role == "" || w.lateLocked(i, func(f Fault) time.Duration { return f.LateCredentials }) {
		return
	}
	s := w.instanceCredentialsLocked(i)
	meta("iam/info", document(map[string]any{
		"Code": "Success", "LastUpdated": seconds(s.made), "InstanceProfileArn": w.profileARN(i.Role),
		"InstanceProfileId": "AIPA" + roleID(i.Role)[4:],
	}))
	meta("iam/security-credentials/"+i.Role, s.document())
}

func (w *World) eventTree(i *instance, meta func(path, value string)) {
	if i.spotAction != "" {
		meta("spot/instance-action", document(map[string]any{"action": i.spotAction, "time": seconds(i.spotTime)}))
		if i.spotAction == "terminate" {
			meta("spot/termination-time", seconds(i.spotTime))
		}
	}
	if !i.rebalanceTime.IsZero() {
		meta("events/recommendations/rebalance", document(map[string]any{"noticeTime": seconds(i.rebalanceTime)}))
	}
	list := []any{}
	for _, e := range i.maintenance {
		setDefault(&e.State, "active")
		list = append(list, map[string]any{
			"EventId": e.EventID, "Code": e.Code, "Description": e.Description, "State": e.State,
			"NotBefore": e.NotBefore.UTC().Format("2 Jan 2006 15:04:05 GMT"), "NotAfter": e.NotAfter.UTC().Format("2 Jan 2006 15:04:05 GMT"),
		})
	}
	meta("events/maintenance/scheduled", document(list))
	meta("events/maintenance/history", "[]")
}

// seconds is how the metadata service writes times.
func seconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// document writes a JSON document. Strings, maps and slices of them marshal
// without failing.
func document(v any) string {
	b, _ := json.MarshalIndent(v, "", "  ")
	return string(b)
}
