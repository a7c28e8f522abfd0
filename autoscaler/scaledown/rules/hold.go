package rules

import (
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// Labels of a Node about its holds. They are of the domain that NodeRestriction
// keeps every kubelet from, on creation, change and removal: what a node says of
// itself holds it only for as long as the operator wants.
const (
	// HoldLabel is the operator's override: HoldUnlimited or HoldReleased.
	HoldLabel = v1alpha1.OwnLabelDomain + "/hold"
	// HoldUnlimited has the node's holds count without a limit.
	HoldUnlimited = "unlimited"
	// HoldReleased has them not count at all.
	HoldReleased = "released"
)

// HoldState is what a hold is worth.
type HoldState string

// The states of a hold.
const (
	// Holding: the hold counts, and will end at its limit, if there is one.
	Holding HoldState = "holding"
	// Unlimited: the hold counts for as long as it lasts, by the operator's label.
	Unlimited HoldState = "unlimited"
	// Released: the hold does not count, by the operator's label.
	Released HoldState = "released"
	// Expired: the hold does not count any more: it lasted for Options.MaxHold.
	Expired HoldState = "expired"
)

// Hold is a node's own word that it must not go, and what it is worth.
type Hold struct {
	// Text says what holds the node.
	Text string
	// Since is when the controller saw it first; zero when that is not recorded yet.
	Since time.Time
	// Until is when it ends to count; zero for never, or not known yet.
	Until time.Time
	State HoldState
	// Pods reports that the agent sees pods, and nothing else: true for a moment
	// after each pod.
	Pods bool
}

// Counts reports whether the hold keeps the node.
func (h Hold) Counts() bool { return h.State == Holding || h.State == Unlimited }

// Hold returns what the node says holds it; false when it says nothing:
//   - kube.ScaleDownDisabledAnnotation, which a kubelet can set on its own Node;
//   - its agent's condition, when that says SaysHold;
//   - on a node that holds no pod as the API server sees it, SaysPods as well.
func (c *Context) Hold(node *corev1.Node, empty bool) (Hold, bool) {
	text, pods := annotated(node), false
	if text == "" {
		said, _, words := Report(node, c.Now, c.ReportTimeout)
		if said != SaysHold && (said != SaysPods || !empty) {
			return Hold{}, false
		}
		text, pods = words, said == SaysPods
	}
	h := c.worth(node)
	h.Text, h.Pods = text, pods
	return h, true
}

// worth judges whatever hold the node has.
func (c *Context) worth(node *corev1.Node) Hold {
	h := Hold{State: Holding, Since: HeldSince(node)}
	if h.Since.After(c.Now) {
		h.Since = time.Time{}
	}
	switch node.Labels[HoldLabel] {
	case HoldUnlimited:
		h.State = Unlimited
		return h
	case HoldReleased:
		h.State = Released
		return h
	}
	if c.MaxHold > 0 && !h.Since.IsZero() {
		h.Until = h.Since.Add(c.MaxHold)
		if !c.Now.Before(h.Until) {
			h.State = Expired
		}
	}
	return h
}

// HeldSince returns since when the node has held itself by HeldSinceLabel; zero when
// there is no such label or it cannot be read.
func HeldSince(node *corev1.Node) time.Time { return recorded(node, v1alpha1.HeldSinceLabel) }

// UnneededSince returns since when the node has been unneeded by
// v1alpha1.UnneededSinceLabel; zero when there is no such label or it cannot be read.
func UnneededSince(node *corev1.Node) time.Time { return recorded(node, v1alpha1.UnneededSinceLabel) }

// recorded reads a time that the controller keeps in a label.
func recorded(node *corev1.Node, label string) time.Time {
	seconds, err := strconv.ParseInt(node.Labels[label], 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// keeps returns why a hold of that text keeps the node, and for how long; empty when
// it does not count.
func (c *Context) keeps(node *corev1.Node, text string) string {
	h := c.worth(node)
	switch {
	case !h.Counts():
		return ""
	case h.State == Unlimited:
		return fmt.Sprintf("%s (without limit: label %s=%s)", text, HoldLabel, HoldUnlimited)
	case !h.Until.IsZero():
		return fmt.Sprintf("%s (since %s, counts until %s)", text, h.Since.UTC().Format(time.RFC3339), h.Until.UTC().Format(time.RFC3339))
	}
	return text
}

// Refuses returns why the node's own word speaks against its going; empty when it
// does not. It is for a last look at a node that a plan chose: Plan asks the rules.
func Refuses(node *corev1.Node, now time.Time, maxHold time.Duration, empty bool) string {
	c := Context{Now: now, Options: Options{ReportTimeout: DefaultReportTimeout, MaxHold: maxHold}}
	if h, held := c.Hold(node, empty); held && h.Counts() {
		return h.Text
	}
	return ""
}

// TakenBack is Refuses for a node that is already marked and drained: only what holds
// it until it is taken back counts, for its agent reports the drain as well.
func TakenBack(node *corev1.Node, now time.Time, maxHold time.Duration) string {
	c := Context{Now: now, Options: Options{ReportTimeout: DefaultReportTimeout, MaxHold: maxHold}}
	if annotated(node) == "" && kube.LocalHold(node) == nil {
		return ""
	}
	if h, held := c.Hold(node, false); held && h.Counts() {
		return h.Text
	}
	return ""
}
