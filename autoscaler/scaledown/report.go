package scaledown

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// Hold is a node's own word that it must not go, and what it is worth.
type Hold struct {
	// Node is its name.
	Node string `json:"node"`
	// Text says what holds it.
	Text string `json:"text"`
	// Since is when the controller saw it first, as recorded on the Node; zero when
	// it is not.
	Since time.Time `json:"since,omitzero"`
	// Until is when it ends to count; zero for never, or not known yet.
	Until time.Time `json:"until,omitzero"`
	State HoldState `json:"state"`
	// Pods reports that the agent sees pods that no one else sees, and nothing else.
	Pods bool `json:"pods,omitempty"`
}

// HoldState is what a hold is worth.
type HoldState = rules.HoldState

// Counts reports whether the hold keeps its node.
func (h Hold) Counts() bool { return rules.Hold{State: h.State}.Counts() }

// The states of a Hold.
const (
	HoldCounts    = rules.Holding
	HoldUnlimited = rules.Unlimited
	HoldReleased  = rules.Released
	HoldExpired   = rules.Expired
)

// HeldSince returns what HeldSinceLabel says; zero for nothing that can be read.
func HeldSince(node *corev1.Node) time.Time { return rules.HeldSince(node) }

// Refuses returns why the node's own word speaks against its going, in the same
// reading that Plan uses; empty when it does not. maxHold is Options.MaxHold.
func Refuses(node *corev1.Node, now time.Time, maxHold time.Duration, empty bool) string {
	return rules.Refuses(node, now, maxHoldOf(maxHold), empty)
}

// TakenBack is Refuses for a node that is already marked and drained.
func TakenBack(node *corev1.Node, now time.Time, maxHold time.Duration) string {
	return rules.TakenBack(node, now, maxHoldOf(maxHold))
}

// maxHoldOf returns the limit that stands for an option; 0 is none.
func maxHoldOf(d time.Duration) time.Duration { return orDefault(d, DefaultMaxHold) }
