package act

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/quote"
)

// When a hold is recorded, and when it counts as over.
const (
	// holdRecorded is how long a hold has to last before it is written down. Agents
	// report a pod for a moment longer than it runs, which is a hold by their word.
	holdRecorded = time.Minute
	// holdOver is how long a node has to be without a hold before its time begins
	// again: as long as an unneeded node stays by default, so that a node that lets
	// go for a moment gains nothing by it.
	holdOver = 10 * time.Minute
	// resistOver is holdOver for a node whose hold took a removal back. One that holds
	// itself when it is marked, and only then, lets go for as long as it is unneeded.
	resistOver = 24 * time.Hour
	// holdToldEvery is how often the event about a hold that does not count is
	// repeated: the API server forgets events after an hour.
	holdToldEvery = time.Hour
)

// holdSight is what was seen of the holds of one Node.
type holdSight struct {
	began time.Time // of the hold, short gaps included; zero before
	ended time.Time // since when there is none; zero while there is one
	pods  bool      // it was nothing but pods that the agent saw, see scaledown.Hold
	// resisted: it took a removal back.
	resisted bool

	told   string    // reason of the event that was emitted last
	toldAt time.Time // when
}

// RecordHolds keeps since when nodes have held themselves in a label that no kubelet
// can write, and makes visible what those holds are worth. It is to be called with
// each plan.
func (e *Executor) RecordHolds(ctx context.Context, d scaledown.Decision, now time.Time) error {
	nodes, err := e.o.Nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("record holds: %w", err)
	}
	held := make(map[string]*scaledown.Hold, len(d.Holds))
	states := map[string]int{}
	for i := range d.Holds {
		held[d.Holds[i].Node] = &d.Holds[i]
		states[string(d.Holds[i].State)]++
	}
	e.o.Metrics.setHolds(states)
	present := make(map[types.UID]bool, len(nodes))
	resisted := e.takeResists()
	var errs []error
	for _, n := range nodes {
		present[n.UID] = true
		if err := e.recordHold(ctx, n, held[n.Name], resisted[n.UID], now); err != nil {
			errs = append(errs, err)
		}
	}
	for uid := range e.holds {
		if !present[uid] {
			delete(e.holds, uid)
		}
	}
	return errors.Join(errs...)
}

// recordHold does it for one Node; h is nil when nothing holds that. resisted says that a
// hold of it took a removal back since the last round.
func (e *Executor) recordHold(ctx context.Context, n *corev1.Node, h *scaledown.Hold, resisted bool, now time.Time) error {
	s := e.holds[n.UID]
	if s == nil {
		if h == nil && !hasLabel(n) && !resisted {
			return nil
		}
		s = &holdSight{pods: h != nil}
		e.holds[n.UID] = s
	}
	if resisted {
		s.resisted, s.pods = true, false
		if s.began.IsZero() {
			s.began = now
		}
		if err := e.recordSince(ctx, n, s, now); err != nil {
			return err
		}
	}
	if h == nil {
		return e.holdEnded(ctx, n, s, now)
	}
	s.ended, s.pods = time.Time{}, s.pods && h.Pods
	if s.began.IsZero() {
		s.began = now
	}
	e.tellHold(s, n, h, now)
	if now.Sub(s.began) < holdRecorded {
		return nil
	}
	return e.recordSince(ctx, n, s, now)
}

// recordSince writes since when the node holds itself, unless a time is recorded.
func (e *Executor) recordSince(ctx context.Context, n *corev1.Node, s *holdSight, now time.Time) error {
	recorded := scaledown.HeldSince(n)
	if !recorded.IsZero() && !recorded.After(now) {
		return nil
	}
	since := strconv.FormatInt(s.began.Unix(), 10)
	return e.label(ctx, n, &since)
}

// resisted notes that a hold took the removal of the Node back.
func (e *Executor) resisted(uid types.UID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.resists[uid] = true
}

// takeResists returns the Nodes that were noted, and forgets them.
func (e *Executor) takeResists() map[types.UID]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.resists
	e.resists = map[types.UID]bool{}
	return taken
}

// holdEnded forgets a hold that has been over for long enough.
func (e *Executor) holdEnded(ctx context.Context, n *corev1.Node, s *holdSight, now time.Time) error {
	if s.ended.IsZero() {
		s.ended = now
	}
	over := holdOver
	if s.resisted {
		over = resistOver
	}
	if !s.pods && now.Sub(s.ended) < over {
		return nil
	}
	if hasLabel(n) {
		if err := e.label(ctx, n, nil); err != nil {
			return err
		}
	}
	delete(e.holds, n.UID)
	return nil
}

func hasLabel(n *corev1.Node) bool {
	_, ok := n.Labels[v1alpha1.HeldSinceLabel]
	return ok
}

func (e *Executor) label(ctx context.Context, n *corev1.Node, since *string) error {
	if err := drain.Label(ctx, e.o.Kube, n.Name, n.UID, v1alpha1.HeldSinceLabel, since); err != nil {
		return fmt.Errorf("record hold of node %s: %w", n.Name, err)
	}
	return nil
}

// tellHold emits an event about a hold that was recorded and will end to count, once,
// and about one that does not count, every holdToldEvery.
func (e *Executor) tellHold(s *holdSight, n *corev1.Node, h *scaledown.Hold, now time.Time) {
	kind, reason, text := corev1.EventTypeNormal, "", ""
	switch {
	case h.State == scaledown.HoldExpired:
		kind, reason = corev1.EventTypeWarning, "HoldExpired"
		text = fmt.Sprintf("held itself since %s, which counted until %s: %s", stamp(h.Since), stamp(h.Until), quote.Text(h.Text))
	case h.State == scaledown.HoldReleased:
		reason, text = "HoldReleased", "an operator's label overrules its hold: "+quote.Text(h.Text)
	case !h.Until.IsZero():
		reason = "HoldRecorded"
		text = fmt.Sprintf("holds itself since %s, which counts until %s: %s", stamp(h.Since), stamp(h.Until), quote.Text(h.Text))
	}
	if reason == "" || reason == s.told && (h.Counts() || now.Sub(s.toldAt) < holdToldEvery) {
		return
	}
	s.told, s.toldAt = reason, now
	e.o.Events.Event(n, kind, reason, text)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
