package awssim

import (
	"strconv"
	"time"
)

// snapshot is a copy of a volume's content at one moment.
type snapshot struct {
	id, volume, description string
	owner                   string
	state                   string // pending, completed or error
	device                  BlockDevice
	started                 time.Time
	tags                    map[string]string
}

func (s *snapshot) progress() string {
	if s.state == "completed" {
		return "100%"
	}
	return "0%"
}

func (s *snapshot) filterValue(name string) ([]string, bool) {
	value, known := map[string]string{
		"snapshot-id": s.id, "volume-id": s.volume, "status": s.state, "owner-id": s.owner, "description": s.description, "progress": s.progress(),
		"volume-size": strconv.Itoa(s.device.VolumeGiB), "encrypted": strconv.FormatBool(isTrue(s.device.Encrypted)), "start-time": stamp(s.started),
	}[name]
	if known {
		return []string{value}, true
	}
	return tagFilter(name, s.tags)
}

// describeSnapshots shows the account's snapshots and those of public images.
func (w *World) describeSnapshots(req *request) (any, error) {
	all := map[string]*snapshot{}
	for id, s := range w.snapshots {
		if w.ownedBy(s.owner, req.form.strs("Owner")) {
			all[id] = s
		}
	}
	return describe(req, "SnapshotId", "snapshotSet", all, unknownSnapshot, (*snapshot).filterValue, func(s *snapshot) []node {
		return []node{
			el("snapshotId", s.id), el("volumeId", s.volume), el("status", s.state), el("startTime", s.started), el("progress", s.progress()),
			el("ownerId", s.owner), el("volumeSize", s.device.VolumeGiB), elText("description", s.description),
			el("encrypted", isTrue(s.device.Encrypted)), el("kmsKeyId", s.device.KMSKeyID), el("storageTier", "standard"), tagNodes("tagSet", s.tags),
		}
	})
}

func unknownSnapshot(id string) error {
	return fail("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

func (w *World) deleteSnapshot(req *request) (any, error) {
	id := req.form.str("SnapshotId")
	s := w.snapshots[id]
	switch {
	case s == nil:
		return nil, unknownSnapshot(id)
	case s.owner != w.AccountID:
		return nil, fail("AuthFailure", "Not authorized for snapshot:%s", id)
	}
	for _, m := range w.images {
		for _, d := range m.BlockDevices {
			if d.SnapshotID == id && m.State != Deregistered {
				return nil, fail("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, m.ID)
			}
		}
	}
	delete(w.snapshots, id)
	return []node{el("return", true)}, nil
}
