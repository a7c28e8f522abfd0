package awssim

import (
	"context"
	"regexp"
	"strings"
)

// Imager is a Hypervisor that keeps the disks of instances as what further instances
// boot from.
type Imager interface {
	// CreateImage keeps the disk of an instance's machine for instances of imageID.
	// With reboot, a machine that runs is down meanwhile.
	CreateImage(ctx context.Context, instanceID, imageID string, reboot bool) error
}

var imageName = regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`)

// createImage registers an image of an instance at once and fills it afterwards.
func (w *World) createImage(req *request) (any, error) {
	list, err := w.namedInstancesLocked(&request{form: form{"InstanceId.1": req.form.str("InstanceId")}})
	if err != nil {
		return nil, err
	}
	i, name := list[0], req.form.str("Name")
	if i.State != Running && i.State != Stopped {
		return nil, fail("InvalidParameterValue", "Instance is not in state 'running' or 'stopped'.")
	}
	if err := w.checkImageNameLocked(name); err != nil {
		return nil, err
	}
	tags, err := readTagSpecifications(req.form, "image", "snapshot")
	if err != nil {
		return nil, err
	}
	changes, err := readBlockDevices(req.form)
	if err != nil {
		return nil, err
	}
	var devices []BlockDevice
	for _, v := range i.volumes {
		d := v.BlockDevice
		d.SnapshotID = ""
		devices = append(devices, d)
	}
	if devices, err = override(devices, changes); err != nil {
		return nil, err
	}
	m := w.putImageLocked(Image{
		Name: name, Description: req.form.str("Description"), Architecture: i.Architecture, RootDevice: i.rootDevice, BlockDevices: devices,
		SourceInstance: i.ID, SourceImage: i.ImageID, State: ImagePending, Tags: tags["image"],
	})
	var copies []*snapshot
	for _, d := range m.BlockDevices {
		s := w.snapshots[d.SnapshotID]
		s.state, s.description = "pending", "Created by CreateImage("+i.ID+") for "+m.ID
		for k, v := range tags["snapshot"] {
			s.tags[k] = v
		}
		for _, v := range i.volumes {
			if v.DeviceName == d.DeviceName {
				s.volume = v.id
			}
		}
		copies = append(copies, s)
	}
	w.fillLocked(i, m, copies, req.form.str("NoReboot") != "true")
	return []node{el("imageId", m.ID)}, nil
}

// fillLocked copies the disk of an instance into a pending image.
func (w *World) fillLocked(i *instance, m *Image, copies []*snapshot, reboot bool) {
	w.runLocked(i, job{
		name: "create image", quiet: w.Timing.Image,
		do: func(ctx context.Context) error {
			if imager, ok := w.Hypervisor.(Imager); ok {
				return imager.CreateImage(ctx, i.ID, m.ID, reboot)
			}
			return nil
		},
		done: func(err error) {
			state := "completed"
			if err != nil {
				state = "error"
			}
			for _, s := range copies {
				s.state = state
			}
			switch {
			case m.State != ImagePending: // deregistered meanwhile
			case err != nil:
				m.State, m.StateReason = ImageFailed, "Server.InternalError: Internal error on image creation"
			default:
				m.State = ImageAvailable
			}
		},
	})
}

func (w *World) checkImageNameLocked(name string) error {
	if name == "" {
		return missing("ec2", "name")
	}
	if !imageName.MatchString(name) {
		return fail("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, m := range w.images {
		if m.Owner == w.AccountID && m.Name == name && m.State != Deregistered {
			return fail("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, m.ID)
		}
	}
	return nil
}

// ownImageLocked finds an image that a request changes.
func (w *World) ownImageLocked(req *request) (*Image, error) {
	id := req.form.str("ImageId")
	m, err := w.findImageLocked(id)
	switch {
	case err != nil:
		return nil, err
	case m.Owner != w.AccountID:
		return nil, fail("AuthFailure", "Not authorized for image:%s", id)
	case m.State == Deregistered:
		return nil, fail("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
	}
	return m, nil
}

// deregisterImage makes an image unusable for launches. Its snapshots stay, and so do
// the instances that were launched from it.
func (w *World) deregisterImage(req *request) (any, error) {
	m, err := w.ownImageLocked(req)
	if err != nil {
		return nil, err
	}
	m.State = Deregistered
	return []node{el("return", true)}, nil
}

// modifyImageAttribute changes one attribute, as EC2 takes one at a time.
func (w *World) modifyImageAttribute(req *request) (any, error) {
	m, err := w.ownImageLocked(req)
	if err != nil {
		return nil, err
	}
	description, support := req.form.has("Description.Value"), req.form.has("ImdsSupport.Value")
	switch {
	case description == support:
		return nil, fail("InvalidParameterCombination", "Exactly one attribute must be specified")
	case m.State != ImageAvailable:
		return nil, fail("InvalidAMIID.Unavailable", "The image ID '%s' is not available", m.ID)
	case description:
		m.Description = req.form.str("Description.Value")
	case req.form.str("ImdsSupport.Value") != "v2.0":
		return nil, fail("InvalidParameterValue", "Invalid value '%s' for ImdsSupport. Valid values: v2.0", req.form.str("ImdsSupport.Value"))
	default:
		m.IMDSSupport = "v2.0"
	}
	return []node{el("return", true)}, nil
}

// modifyInstanceAttribute knows what every instance of the world has: both drivers of
// the network.
func (w *World) modifyInstanceAttribute(req *request) (any, error) {
	list, err := w.namedInstancesLocked(&request{form: form{"InstanceId.1": req.form.str("InstanceId")}})
	if err != nil {
		return nil, err
	}
	if list[0].State != Stopped {
		return nil, fail("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", list[0].ID)
	}
	if v := req.form.str("EnaSupport.Value"); v == "false" {
		return nil, notSimulated("ec2", req.action, "EnaSupport=false")
	}
	return []node{el("return", true)}, nil
}

// readTagSpecifications reads the tags that a request gives to what it makes, by the
// type of resource.
func readTagSpecifications(f form, types ...string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, s := range f.list("TagSpecification") {
		kind := s.str("ResourceType")
		if !hasWord(strings.Join(types, " "), kind) {
			return nil, fail("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", kind)
		}
		if _, again := out[kind]; again {
			return nil, fail("InvalidParameterValue", "Duplicate resource type '%s' in the tag specifications", kind)
		}
		tags, err := readTags(s)
		if err != nil {
			return nil, err
		}
		out[kind] = tags
	}
	return out, nil
}
