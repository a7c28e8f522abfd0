package awssim

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// ImageState is the state of an image, by its EC2 name.
type ImageState string

// The states of an image that the world knows.
const (
	ImagePending   ImageState = "pending"
	ImageAvailable ImageState = "available"
	ImageFailed    ImageState = "failed"
	Deregistered   ImageState = "deregistered"
)

// Image is an AMI as the world knows it at one moment. Empty fields of one that is put
// into the world take the defaults that are noted.
type Image struct {
	ID             string // a new one
	Name           string // its id
	Description    string
	Owner          string // account id; the world's own
	Public         bool
	Architecture   string        // x86_64
	RootDevice     string        // /dev/xvda
	BlockDevices   []BlockDevice // a root volume of 8 GiB
	IMDSSupport    string        // v2.0, or empty
	SourceInstance string
	SourceImage    string
	State          ImageState // available
	StateReason    string
	Created        time.Time
	Tags           map[string]string
}

func (m Image) clone() Image {
	m.BlockDevices = slices.Clone(m.BlockDevices)
	m.Tags = maps.Clone(m.Tags)
	return m
}

// PutImage registers an image, or replaces the one of that id, and its snapshots.
func (w *World) PutImage(m Image) Image {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.settledLocked()
	return w.putImageLocked(m).clone()
}

func (w *World) putImageLocked(m Image) *Image {
	m = m.clone()
	if m.ID == "" {
		m.ID = w.idLocked("ami-")
	}
	setDefault(&m.Name, m.ID)
	setDefault(&m.Owner, w.AccountID)
	setDefault(&m.Architecture, "x86_64")
	setDefault(&m.RootDevice, "/dev/xvda")
	setDefault(&m.State, ImageAvailable)
	setDefault(&m.Created, time.Now())
	if m.Tags == nil {
		m.Tags = map[string]string{}
	}
	if m.BlockDevices == nil {
		gone, plain := true, false
		m.BlockDevices = []BlockDevice{{DeviceName: m.RootDevice, VolumeGiB: 8, VolumeType: "gp3", DeleteOnTermination: &gone, Encrypted: &plain}}
	}
	for n, d := range m.BlockDevices {
		if d.SnapshotID == "" {
			s := &snapshot{id: w.idLocked("snap-"), owner: m.Owner, state: "completed", device: d, started: m.Created, tags: map[string]string{}}
			w.snapshots[s.id] = s
			m.BlockDevices[n].SnapshotID = s.id
		}
	}
	w.images[m.ID] = &m
	return &m
}

// knownImageLocked registers an image that a test's set-up names, so that set-ups need
// not. A name such as resolve:ssm:/x is taken for an image's id. A launch template of
// the wire is held to what there is.
func (w *World) knownImageLocked(id string) {
	if id != "" && w.images[id] == nil {
		w.putImageLocked(Image{ID: id})
	}
}

// Images returns the account's own images, oldest first.
func (w *World) Images() []Image {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Image
	for _, m := range w.images {
		if m.Owner == w.AccountID && m.State != Deregistered {
			out = append(out, m.clone())
		}
	}
	slices.SortFunc(out, func(a, b Image) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return out
}

var imageID = regexp.MustCompile(`^ami-[0-9a-f]+$`)

// findImageLocked finds an image that a request names.
func (w *World) findImageLocked(id string) (*Image, error) {
	m := w.images[id]
	switch {
	case m != nil && (m.Owner == w.AccountID || m.Public):
		return m, nil
	case !imageID.MatchString(id):
		return nil, fail("InvalidAMIID.Malformed", `Invalid id: "%s" (expecting "ami-...")`, id)
	default:
		return nil, fail("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
	}
}

// launchableLocked finds the image of a launch.
func (w *World) launchableLocked(id string, t InstanceType) (*Image, error) {
	m, err := w.findImageLocked(id)
	switch {
	case err != nil:
		return nil, err
	case m.State != ImageAvailable:
		return nil, fail("InvalidAMIID.Unavailable", "The image ID '%s' is not available", id)
	case m.Architecture != t.Architecture:
		return nil, fail("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.", t.Architecture, m.Architecture)
	}
	return m, nil
}

// ownedBy reports that an owner is among those that a request asks for; with none it is.
func (w *World) ownedBy(owner string, asked []string) bool {
	return len(asked) == 0 || slices.ContainsFunc(asked, func(o string) bool { return o == owner || o == "self" && owner == w.AccountID })
}

// describeImages shows the account's images and the public ones. One that was
// deregistered is known by its id, and is shown no more.
func (w *World) describeImages(req *request) (any, error) {
	all := map[string]*Image{}
	for id, m := range w.images {
		if (m.Owner == w.AccountID || m.Public) && m.State != Deregistered && w.ownedBy(m.Owner, req.form.strs("Owner")) {
			all[id] = m
		}
	}
	return describe(req, "ImageId", "imagesSet", all, func(id string) error {
		_, err := w.findImageLocked(id)
		return err
	}, w.imageFilter, w.imageNodes)
}

func (w *World) imageFilter(m *Image, name string) ([]string, bool) {
	value, known := map[string]string{
		"image-id": m.ID, "name": m.Name, "description": m.Description, "state": string(m.State), "architecture": m.Architecture,
		"owner-id": m.Owner, "owner-alias": "", "virtualization-type": "hvm", "root-device-type": "ebs", "root-device-name": m.RootDevice,
		"hypervisor": "xen", "image-type": "machine", "is-public": strconv.FormatBool(m.Public),
		"ena-support": "true", "creation-date": stamp(m.Created), "source-instance-id": m.SourceInstance, "imds-support": m.IMDSSupport,
	}[name]
	if known {
		return []string{value}, true
	}
	return tagFilter(name, m.Tags)
}

func (w *World) imageNodes(m *Image) []node {
	n := []node{
		el("imageId", m.ID), el("name", m.Name), el("description", m.Description), el("imageLocation", m.Owner+"/"+m.Name),
		el("imageOwnerId", m.Owner), el("imageState", string(m.State)), el("isPublic", m.Public), el("architecture", m.Architecture),
		el("imageType", "machine"), el("rootDeviceType", "ebs"), el("rootDeviceName", m.RootDevice), el("virtualizationType", "hvm"),
		el("hypervisor", "xen"), el("enaSupport", true), el("platformDetails", "Linux/UNIX"), el("usageOperation", "RunInstances"),
		el("creationDate", m.Created), el("imdsSupport", m.IMDSSupport), el("sourceInstanceId", m.SourceInstance),
		el("sourceImageId", m.SourceImage), tagNodes("tagSet", m.Tags),
		elList("blockDeviceMapping", "item", m.BlockDevices, func(d BlockDevice) any {
			return []node{el("deviceName", d.DeviceName), el("ebs", d.ebsNodes())}
		}),
	}
	if m.SourceImage != "" {
		n = append(n, el("sourceImageRegion", w.Region))
	}
	if m.StateReason != "" {
		n = append(n, el("stateReason", []node{el("code", stateReasonCode(m.StateReason)), el("message", m.StateReason)}))
	}
	return n
}
