package expectation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Subject names pods that are alike to a planner, whoever made them and whenever.
type Subject string

// SubjectOf returns the subject of a class's pods. Pods that only labels, taints and
// resources decide about are alike within a namespace, also when each has an owner of
// its own; others are alike when they are of one class.
func SubjectOf(c *cluster.Class) Subject {
	h := sha256.New()
	h.Write([]byte(c.Exemplar.Namespace))
	h.Write([]byte{0})
	if len(c.Spread)+len(c.Affinity)+len(c.AntiAffinity) > 0 {
		h.Write([]byte(c.Key))
	} else {
		h.Write([]byte(c.StaticKey()))
		amounts := binary.AppendVarint(nil, c.Requests.MilliCPU)
		amounts = binary.AppendVarint(amounts, c.Requests.Memory)
		amounts = binary.AppendVarint(amounts, c.Requests.EphemeralStorage)
		for _, r := range c.Requests.Scalar {
			amounts = append(append(amounts, r.Name...), 0)
			amounts = binary.AppendVarint(amounts, r.Value)
		}
		h.Write(amounts)
	}
	return Subject(hex.EncodeToString(h.Sum(nil)[:12]))
}

// Launch is one raise of a group.
type Launch struct {
	Group string
	// Version of the launch template and type of the instances; the type is empty for a
	// mixed group.
	Version, Type string
	At            time.Time
	Nodes         []Node
	// Alive, where Ledger.Moving, is Alive of the snapshot that was planned on.
	Alive map[Subject]int
}

// Node is one node of a launch.
type Node struct {
	// Zone that it is expected in; empty for any.
	Zone string
	// Sure says that Auto Scaling launches there unless the zone has no capacity: it is
	// the group's only zone, or the one with the fewest instances.
	Sure bool
	Pods []Pod
}

// Pod is a pod that a node is bought for.
type Pod struct {
	UID     types.UID `json:"uid"`
	Subject Subject   `json:"subject"`
}

// promise is one node of a launch until nothing more can follow from it.
type promise struct {
	Group   string    `json:"group"`
	Version string    `json:"version,omitempty"`
	Type    string    `json:"type,omitempty"`
	Zone    string    `json:"zone,omitempty"`
	Sure    bool      `json:"sure,omitempty"`
	At      time.Time `json:"at"`
	Pods    []Pod     `json:"pods,omitempty"`
	// Instance is the one that came for it; empty until then.
	Instance string `json:"instance,omitempty"`
	// Since is when the instance came.
	Since time.Time `json:"since,omitzero"`
	// Ready is when its node was first seen usable.
	Ready time.Time `json:"ready,omitzero"`
	// Empty says what the node lacked while it was ready and took none of the pods; empty
	// before.
	Empty string `json:"empty,omitempty"`
	// Judged says that the outcome is told and its pods are held no longer: what follows
	// is at most that they have come to run after all.
	Judged bool `json:"judged,omitempty"`
	// GivenUp says that it was judged never: only late can follow.
	GivenUp bool `json:"givenUp,omitempty"`
	// Late says that its node came after all. That outcome is told, but not yet whether
	// the node helps.
	Late bool `json:"late,omitempty"`
}

// holds reports whether the pods of the promise buy nothing meanwhile.
func (p *promise) holds() bool { return !p.Judged && !p.GivenUp }

// waiting says what a held pod waits for.
func (p *promise) waiting() string {
	text := "a node of group " + p.Group + " was asked for at " + p.At.UTC().Format(time.TimeOnly) + " for this pod"
	switch {
	case p.Instance == "":
		return text + " and has not been launched yet"
	case p.Ready.IsZero():
		return text + " (" + p.Instance + ") and is not ready yet"
	}
	return text + " (" + p.Instance + "), is ready and has not taken it yet"
}
