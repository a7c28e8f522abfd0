package awssim

import (
	"maps"
	"strconv"
	"time"
)

// volume is an EBS volume. Its content is the machine's, which the world does not see.
type volume struct {
	BlockDevice
	id, zone string
	instance string // to which it is attached; empty: available
	created  time.Time
	tags     map[string]string
}

func (v *volume) state() string {
	if v.instance == "" {
		return "available"
	}
	return "in-use"
}

// attachLocked makes the volumes of a new instance.
func (w *World) attachLocked(i *instance, devices []BlockDevice, root string, tags map[string]string) {
	for _, d := range devices {
		setDefault(&d.VolumeType, "gp3")
		if d.DeleteOnTermination == nil {
			deleted := d.DeviceName == root
			d.DeleteOnTermination = &deleted
		}
		v := &volume{BlockDevice: d, id: w.idLocked("vol-"), zone: i.Zone, instance: i.ID, created: i.LaunchTime, tags: maps.Clone(tags)}
		if v.tags == nil {
			v.tags = map[string]string{}
		}
		w.volumes[v.id] = v
		i.volumes = append(i.volumes, v)
	}
}

// detachLocked lets go of the volumes of an instance that was terminated.
func (w *World) detachLocked(i *instance) {
	for _, v := range i.volumes {
		v.instance = ""
		if isTrue(v.DeleteOnTermination) {
			delete(w.volumes, v.id)
		}
	}
	i.volumes = nil
}

// volumeNodes writes an instance's attached volumes.
func (i *instance) volumeNodes() node {
	return elList("blockDeviceMapping", "item", i.volumes, func(v *volume) any {
		return []node{el("deviceName", v.DeviceName), el("ebs", []node{
			el("volumeId", v.id), el("status", "attached"), el("attachTime", v.created), el("deleteOnTermination", isTrue(v.DeleteOnTermination)),
		})}
	})
}

func (v *volume) filterValue(name string) ([]string, bool) {
	value, known := map[string]string{
		"volume-id": v.id, "status": v.state(), "availability-zone": v.zone, "snapshot-id": v.SnapshotID, "volume-type": v.VolumeType,
		"size": strconv.Itoa(v.VolumeGiB), "encrypted": strconv.FormatBool(isTrue(v.Encrypted)), "create-time": stamp(v.created),
		"attachment.instance-id": v.instance, "attachment.device": v.DeviceName,
	}[name]
	if known {
		return []string{value}, true
	}
	return tagFilter(name, v.tags)
}

func (w *World) describeVolumes(req *request) (any, error) {
	return describe(req, "VolumeId", "volumeSet", w.volumes, func(id string) error {
		return fail("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	}, (*volume).filterValue, w.describeVolume)
}

func (w *World) describeVolume(v *volume) []node {
	var attached []string
	if v.instance != "" {
		attached = []string{v.instance}
	}
	n := []node{
		el("volumeId", v.id), el("size", v.VolumeGiB), el("snapshotId", v.SnapshotID), el("availabilityZone", v.zone), el("status", v.state()),
		el("createTime", v.created), el("volumeType", v.VolumeType), el("encrypted", isTrue(v.Encrypted)), el("kmsKeyId", v.KMSKeyID),
		el("multiAttachEnabled", false), tagNodes("tagSet", v.tags),
		elList("attachmentSet", "item", attached, func(instance string) any {
			return []node{el("volumeId", v.id), el("instanceId", instance), el("device", v.DeviceName), el("status", "attached"),
				el("attachTime", v.created), el("deleteOnTermination", isTrue(v.DeleteOnTermination))}
		}),
	}
	if v.IOPS > 0 {
		n = append(n, el("iops", v.IOPS))
	}
	if v.Throughput > 0 {
		n = append(n, el("throughput", v.Throughput))
	}
	return n
}

func (w *World) deleteVolume(req *request) (any, error) {
	id := req.form.str("VolumeId")
	v := w.volumes[id]
	switch {
	case v == nil:
		return nil, fail("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
	case v.instance != "":
		return nil, fail("VolumeInUse", "Volume %s is currently attached to %s", id, v.instance)
	}
	delete(w.volumes, id)
	return []node{el("return", true)}, nil
}
