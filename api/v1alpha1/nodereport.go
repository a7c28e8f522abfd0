package v1alpha1

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// KindNodeReport is the kind of a NodeReport document.
const KindNodeReport = "NodeReport"

// NodeReport is what an agent says about its own node, in an annotation on its
// own Node object. It is a claim by that node about itself and is used only
// for itself. Whether the node may go is said by the condition ScaleDownReady.
type NodeReport struct {
	TypeMeta `json:",inline"`
	// InstanceID of the EC2 instance.
	InstanceID string `json:"instanceID"`
	// ImageID is the AMI that the instance was launched from.
	ImageID string `json:"imageID,omitempty"`
	// AgentVersion is the version of the agent that reports.
	AgentVersion string `json:"agentVersion,omitempty"`
	// BootID is the kernel's id of this boot.
	BootID string `json:"bootID,omitempty"`
	// TokenID is the public half of the token that the node joined with.
	TokenID string `json:"tokenID,omitempty"`
	// Boot is the timeline of the boot that joined the node, in order.
	Boot []BootPhase `json:"boot,omitempty"`
	// Rejoin is the last time that the node joined again without a reboot; nil
	// when it never did.
	Rejoin *Rejoin `json:"rejoin,omitempty"`
	// Holds lists what keeps the node, each with its kind first: "inhibitor: NAME"
	// for a lock, "file: NAME" for a file.
	Holds []string `json:"holds,omitempty"`
	// ReportedAt is when the agent wrote this.
	ReportedAt time.Time `json:"reportedAt"`
}

// BootPhase is one phase of a boot.
type BootPhase struct {
	// Phase is the name of the phase, such as identity or join.
	Phase string `json:"phase"`
	// StartedAt is when it began.
	StartedAt time.Time `json:"startedAt"`
	// Milliseconds is how long it took, retries and waiting included.
	Milliseconds int64 `json:"milliseconds"`
	// Attempts is how often it was tried; 1 is a phase without trouble.
	Attempts int `json:"attempts,omitempty"`
}

// LossReason is how a machine that joined stopped being that node.
type LossReason string

// The ways in which a node is lost.
const (
	// NodeDeleted: its Node object was deleted.
	NodeDeleted LossReason = "NodeDeleted"
	// NodeReplaced: the Node of its name has another UID: it was made again.
	NodeReplaced LossReason = "NodeReplaced"
	// CredentialsRefused: the API server does not accept the kubelet's certificate.
	CredentialsRefused LossReason = "CredentialsRefused"
)

// Rejoin says that a node joined again.
type Rejoin struct {
	// Reason is how the earlier Node was lost.
	Reason LossReason `json:"reason"`
	// LostAt is when the agent was certain of it.
	LostAt time.Time `json:"lostAt"`
	// Times is how often the instance joined again so far.
	Times int `json:"times"`
}

// ReadyReason is the reason of the condition ScaleDownReady.
type ReadyReason string

// The reasons of the condition ScaleDownReady. It is True with Idle and
// Drained only. Of several that are true at once the condition has the first in the
// order InhibitorHeld, HoldFile, Joining, Draining, PodsRunning; its message adds all of
// them up. So a hold stays visible until it ends.
//
// Agents of early builds put Joining first. What holds such a node is in the Holds of its
// NodeReport.
const (
	// Idle: nothing but DaemonSet and mirror pods runs, and nothing holds the node.
	Idle ReadyReason = "Idle"
	// PodsRunning: pods run that would have to move.
	PodsRunning ReadyReason = "PodsRunning"
	// InhibitorHeld: local software holds a systemd inhibitor lock.
	InhibitorHeld ReadyReason = "InhibitorHeld"
	// HoldFile: a file stands in /run/joinery/hold.d.
	HoldFile ReadyReason = "HoldFile"
	// Joining: the node is not Ready yet.
	Joining ReadyReason = "Joining"
	// Draining: the node is being drained.
	Draining ReadyReason = "Draining"
	// Drained: the node was drained and is empty.
	Drained ReadyReason = "Drained"
)

// Ready says whether a node with this reason may go.
func (r ReadyReason) Ready() bool { return r == Idle || r == Drained }

// Holds reports whether local software asked with this reason that the node stays. It
// counts until it is lifted, however old the report is, for maxHold at most.
func (r ReadyReason) Holds() bool { return r == InhibitorHeld || r == HoldFile }

// What begins the entries of NodeReport.Holds, by kind.
const (
	InhibitorHold = "inhibitor: "
	FileHold      = "file: "
)

// DecodeNodeReport reads a NodeReport out of the annotation's text. Errors are
// *InvalidError and *VersionError.
func DecodeNodeReport(data []byte) (*NodeReport, error) {
	r := &NodeReport{}
	if err := decode(data, KindNodeReport, r); err != nil {
		return nil, err
	}
	return r, nil
}

// Encode returns the report as the annotation's text.
func (r *NodeReport) Encode() ([]byte, error) {
	c := *r
	c.APIVersion, c.Kind = GroupVersion, KindNodeReport
	if err := c.validate().err(KindNodeReport); err != nil {
		return nil, err
	}
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode node report: %w", err)
	}
	return data, nil
}

func (r *NodeReport) setDefaults() {}

var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`)
	phaseName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

func (r *NodeReport) validate() problems {
	var p problems
	if !instanceID.MatchString(r.InstanceID) {
		p.add("instanceID", r.InstanceID, "expected an EC2 instance id such as i-0123456789abcdef0")
	}
	if r.ReportedAt.IsZero() {
		p.add("reportedAt", "", "required: expected an RFC 3339 time")
	}
	for i, b := range r.Boot {
		path := fmt.Sprintf("boot[%d]", i)
		if !phaseName.MatchString(b.Phase) {
			p.add(path+".phase", b.Phase, "expected a lower-case word")
		}
		if b.Milliseconds < 0 {
			p.add(path+".milliseconds", fmt.Sprint(b.Milliseconds), "expected 0 or more")
		}
	}
	if j := r.Rejoin; j != nil && (j.Reason == "" || j.LostAt.IsZero() || j.Times < 1) {
		p.add("rejoin", fmt.Sprintf("%+v", *j), "expected a reason, a time and a number of at least 1")
	}
	if slices.Contains(r.Holds, "") {
		p.add("holds", "", "holds an empty name")
	}
	return p
}
