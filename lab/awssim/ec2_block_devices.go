package awssim

import (
	"slices"
	"strconv"
)

// BlockDevice is a volume of a launch template, a launch or an image. Empty fields are
// unset: then the image decides, or EC2's defaults.
type BlockDevice struct {
	DeviceName          string
	VolumeGiB           int
	VolumeType          string
	IOPS                int
	Throughput          int    // MiB/s
	InitializationRate  int    // MiB/s at which the snapshot's blocks are fetched
	Encrypted           *bool  // a volume of an encrypted snapshot is encrypted in any case
	KMSKeyID            string // of an encrypted volume; empty: the key that AWS manages
	SnapshotID          string
	DeleteOnTermination *bool
	NoDevice            bool // leaves out the image's volume of that name
}

const (
	deviceFields = "DeviceName Ebs NoDevice"
	ebsFields    = "VolumeSize VolumeType Iops Throughput VolumeInitializationRate Encrypted KmsKeyId SnapshotId DeleteOnTermination"
)

// readBlockDevices reads BlockDeviceMapping.N.
func readBlockDevices(f form) ([]BlockDevice, error) {
	var out []BlockDevice
	for _, m := range f.list("BlockDeviceMapping") {
		d, err := readBlockDevice(m)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func readBlockDevice(m form) (BlockDevice, error) {
	ebs := m.sub("Ebs")
	for _, known := range []struct {
		f      form
		fields string
	}{{m, deviceFields}, {ebs, ebsFields}} {
		for _, name := range known.f.topLevel() {
			if !hasWord(known.fields, name) {
				return BlockDevice{}, notSimulated("ec2", "block device mapping", name)
			}
		}
	}
	d := BlockDevice{
		DeviceName: m.str("DeviceName"), VolumeType: ebs.str("VolumeType"), KMSKeyID: ebs.str("KmsKeyId"), SnapshotID: ebs.str("SnapshotId"),
		Encrypted: ebs.boolean("Encrypted"), DeleteOnTermination: ebs.boolean("DeleteOnTermination"), NoDevice: m.has("NoDevice"),
	}
	for name, field := range map[string]*int{"VolumeSize": &d.VolumeGiB, "Iops": &d.IOPS, "Throughput": &d.Throughput, "VolumeInitializationRate": &d.InitializationRate} {
		n, _, err := ebs.integer("ec2", name)
		if err != nil {
			return d, err
		}
		*field = n
	}
	switch {
	case d.DeviceName == "":
		return d, missing("ec2", "BlockDeviceMapping.DeviceName")
	case d.KMSKeyID != "" && !isTrue(d.Encrypted):
		return d, fail("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	return d, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// override returns the devices of an image as a request changes them.
func override(image, changes []BlockDevice) ([]BlockDevice, error) {
	out := slices.Clone(image)
	for _, c := range changes {
		at := slices.IndexFunc(out, func(d BlockDevice) bool { return d.DeviceName == c.DeviceName })
		switch {
		case c.NoDevice && at >= 0:
			out = slices.Delete(out, at, at+1)
		case c.NoDevice:
		case at < 0 && c.VolumeGiB == 0 && c.SnapshotID == "":
			return nil, fail("MissingParameter", "The request must contain the parameter size or snapshotId")
		case at < 0:
			out = append(out, c)
		default:
			if c.VolumeGiB > 0 && c.VolumeGiB < out[at].VolumeGiB {
				return nil, fail("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size>= %dGB", c.VolumeGiB, out[at].SnapshotID, out[at].VolumeGiB)
			}
			out[at] = c.over(out[at])
		}
	}
	return out, nil
}

// over fills what d leaves unset from the image's device of that name.
func (d BlockDevice) over(image BlockDevice) BlockDevice {
	setDefault(&d.VolumeGiB, image.VolumeGiB)
	setDefault(&d.VolumeType, image.VolumeType)
	setDefault(&d.IOPS, image.IOPS)
	setDefault(&d.Throughput, image.Throughput)
	setDefault(&d.InitializationRate, image.InitializationRate)
	setDefault(&d.SnapshotID, image.SnapshotID)
	setDefault(&d.KMSKeyID, image.KMSKeyID)
	setDefault(&d.DeleteOnTermination, image.DeleteOnTermination)
	if d.Encrypted == nil || isTrue(image.Encrypted) {
		d.Encrypted = image.Encrypted
	}
	return d
}

// ebsNodes writes the ebs member of a mapping, without what is unset.
func (d BlockDevice) ebsNodes() []node {
	out := []node{el("snapshotId", d.SnapshotID), el("volumeType", d.VolumeType), el("kmsKeyId", d.KMSKeyID)}
	for name, n := range map[string]int{"volumeSize": d.VolumeGiB, "iops": d.IOPS, "throughput": d.Throughput, "VolumeInitializationRate": d.InitializationRate} {
		if n > 0 {
			out = append(out, el(name, strconv.Itoa(n)))
		}
	}
	for name, b := range map[string]*bool{"encrypted": d.Encrypted, "deleteOnTermination": d.DeleteOnTermination} {
		if b != nil {
			out = append(out, el(name, *b))
		}
	}
	return out
}

func deviceNodes(devices []BlockDevice) node {
	return elList("blockDeviceMappingSet", "item", devices, func(d BlockDevice) any {
		if d.NoDevice {
			return []node{el("deviceName", d.DeviceName), elText("noDevice", "")}
		}
		return []node{el("deviceName", d.DeviceName), el("ebs", d.ebsNodes())}
	})
}
