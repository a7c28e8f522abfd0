package boot

import (
	"context"
	"time"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

// removalTime is how long a machine whose Node was marked for removal waits to be
// ended before it joins again: the mark may be a leftover.
const removalTime = 10 * time.Minute

// Lose remembers that the Node is lost, for the next run of the stages, from
// leave on, to make a new join. Until that join has ended the machine does not
// count as joined, and a crash in between changes nothing about it.
func (w *Work) Lose(lost *join.LostError) error {
	w.Log.Warn("node is lost: joining again", "node", w.State.NodeName, "reason", lost.Reason, "uid", w.State.NodeUID, "marked", lost.Marked)
	w.State.Lost = &Loss{Reason: lost.Reason, At: time.Now().UTC(), Marked: lost.Marked, Identity: w.Membership.Identity()}
	w.State.Complete, w.State.Boot = false, nil
	return w.Save(w.State)
}

// stay makes sure, at the start of a boot, that the kubelet does not come up and make
// a Node again without a proof: one that was stopped for long, as in a warm pool, has
// lost its Node. systemd starts the kubelet once the agent is Ready.
func (w *Work) stay(ctx context.Context) error {
	if w.State.BootID == w.BootID || w.Membership.Joined(w.State.NodeName) != nil {
		return nil
	}
	if w.State.Lost == nil && w.State.NodeUID != "" {
		if lost := w.Look(ctx, w.State.NodeName, w.State.NodeUID); lost != nil {
			if err := w.Lose(lost); err != nil {
				return err
			}
		}
	}
	if l := w.State.Lost; l == nil || l.Identity != w.Membership.Identity() {
		return nil
	}
	return w.Membership.Leave(ctx)
}

// Finish remembers that the stages came to their end, and how long each took.
func (w *Work) Finish(timeline []v1alpha1.BootPhase) error {
	if w.State.Complete {
		return nil
	}
	w.State.Complete, w.State.Boot = true, timeline
	return w.Save(w.State)
}

// joined reports whether the machine holds the identity of its Node, and has not
// lost that Node.
func (w *Work) joined() bool {
	if w.State.Lost != nil && w.State.Lost.Identity == w.Membership.Identity() {
		return false
	}
	return w.Membership.Joined(w.node.Name) == nil
}

// leave stops the kubelet of a machine that lost its Node. One that is about to be
// ended, or to go into a warm pool, keeps waiting as it is.
func (w *Work) leave(ctx context.Context) error {
	if w.State.Lost == nil || w.joined() {
		return nil
	}
	if err := w.gate(ctx); err != nil {
		return err
	}
	if l := w.State.Lost; l.Marked && time.Since(l.At) < removalTime {
		return &WaitError{For: "the removal that its Node was marked for", Every: lookAtGate}
	}
	if kept, err := w.recover(ctx); kept || err != nil {
		return err
	}
	return w.Membership.Leave(ctx)
}

// recover ends a loss that was none: an API server that refused the kubelet's
// certificate for a while accepts it again. A Node that is gone stays gone.
func (w *Work) recover(ctx context.Context) (bool, error) {
	if w.State.Lost.Reason != v1alpha1.CredentialsRefused || w.State.NodeUID == "" || w.Membership.Joined(w.node.Name) != nil {
		return false, nil
	}
	if !w.Kept(ctx, w.node, w.State.NodeUID) {
		return false, nil
	}
	w.Log.Info("the kubelet's certificate is accepted again: not joining", "node", w.node.Name)
	w.State.Lost = nil
	return true, w.Save(w.State)
}

// rejoined remembers a join whose end a crash kept from being saved.
func (w *Work) rejoined() error {
	if w.State.Lost == nil {
		return nil
	}
	w.State.NodeUID = ""
	w.settle()
	return w.Save(w.State)
}

// settle turns the loss into what the node report says about it.
func (w *Work) settle() {
	l := w.State.Lost
	if l == nil {
		return
	}
	times := 1
	if r := w.State.Rejoin; r != nil {
		times += r.Times
	}
	w.State.Rejoin, w.State.Lost = &v1alpha1.Rejoin{Reason: l.Reason, LostAt: l.At, Times: times}, nil
}
