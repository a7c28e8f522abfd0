package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

// ScaleDown begins the removals of a plan and returns; they go on in the
// background until ctx ends, so that a drain never holds up a scale-up. A node
// that is being removed already, one that resisted lately and what is beyond
// MaxParallel or MaxDrains is left to the next plan.
func (e *Executor) ScaleDown(ctx context.Context, d scaledown.Decision) {
	for _, r := range slices.Concat(d.Remove, d.Replace) {
		if !e.begin(r) {
			continue
		}
		e.running.Go(func() {
			defer e.finish(r)
			e.remove(ctx, r)
		})
	}
}

func (e *Executor) begin(r scaledown.Removal) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	forget(e.failed, now, e.o.RetryAfter)
	_, failed := e.failed[r.Node]
	_, begun := e.removals[r.Node]
	_, ended := e.ended[r.InstanceID]
	if failed || begun || ended || len(e.removals) >= e.o.MaxParallel || !r.Empty && e.drains() >= e.o.MaxDrains {
		return false
	}
	e.removals[r.Node] = !r.Empty
	return true
}

// drains is how many removals under way move pods. The caller holds e.mu.
func (e *Executor) drains() int {
	n := 0
	for _, drains := range e.removals {
		if drains {
			n++
		}
	}
	return n
}

func (e *Executor) finish(r scaledown.Removal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.removals, r.Node)
}

// remove is one removal from beginning to end. A plan that no longer holds is
// dropped before anything is touched: the next plan knows better.
func (e *Executor) remove(ctx context.Context, r scaledown.Removal) {
	log := e.o.Log.With("node", r.Node, "group", r.Group, "instance", r.InstanceID, "pods", len(r.Pods), "reason", r.Reason)
	if r.Lost {
		e.removeLost(ctx, r, log)
		return
	}
	node, release, err := e.prepare(ctx, r)
	if err != nil {
		log.Info("removal dropped", "err", err)
		return
	}
	defer release()
	log.Info("removing node")
	err = e.drainAndTerminate(ctx, node, r)
	switch {
	case err == nil:
		e.o.Groups.Removed(r.Group, time.Now())
		if e.o.Removed != nil {
			e.o.Removed()
		}
		log.Info("node removed")
		e.o.Metrics.removed.WithLabelValues(r.Group, strconv.FormatBool(r.Empty)).Inc()
		e.o.Events.Eventf(node, corev1.EventTypeNormal, "ScaleDown", "drained and terminated instance %s of group %s: %s", r.InstanceID, r.Group, r.Reason)
	case ctx.Err() != nil:
		// The mark stays for whoever leads next, see the package comment.
		log.Info("removal interrupted")
	default:
		log.Warn("removal rolled back", "err", err)
		e.failedRemoval(node, r, err)
	}
}

// failedRemoval leaves the node alone for a while.
func (e *Executor) failedRemoval(node *corev1.Node, r scaledown.Removal, err error) {
	e.o.Groups.RemovalFailed(r.Group, time.Now())
	e.o.Metrics.rolledBack.WithLabelValues(r.Group).Inc()
	e.o.Events.Eventf(node, corev1.EventTypeWarning, "ScaleDownFailed", "node stays in group %s: %v", r.Group, err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failed[r.Node] = time.Now()
}

// prepare checks that the plan still holds and reserves the group's place. The
// caller must call release when err is nil.
func (e *Executor) prepare(ctx context.Context, r scaledown.Removal) (node *corev1.Node, release func(), err error) {
	if node, err = e.validate(ctx, r); err != nil {
		return nil, nil, err
	}
	if release, err = e.reserve(ctx, r.Group); err != nil {
		return nil, nil, err
	}
	return node, release, nil
}

// drainAndTerminate marks the node, moves its pods away and ends its instance.
// On an error the mark is taken back, unless ctx has ended.
func (e *Executor) drainAndTerminate(ctx context.Context, node *corev1.Node, r scaledown.Removal) (err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = e.undo(ctx, r.Node, err)
		}
	}()
	if err := drain.Mark(ctx, e.o.Kube, r.Node, node.UID, false); err != nil {
		return fmt.Errorf("taint node: %w", err)
	}
	if err := wait.For(ctx, e.o.Settle); err != nil {
		return err
	}
	if err := e.evictor(r).Empty(ctx, r.Node, e.o.DrainTimeout, unplanned(r)); err != nil {
		return err
	}
	if err := e.awaitDelays(ctx, r.Node); err != nil {
		return err
	}
	if err := e.awaitDetached(ctx, r.Node); err != nil {
		return err
	}
	if err := e.stillFree(ctx, r, node.UID); err != nil {
		return err
	}
	if err := e.o.Groups.Terminate(ctx, r.Group, r.InstanceID); err != nil {
		return err
	}
	e.noteEnded(r.InstanceID)
	return nil
}

// undo takes the mark of a removal back that failed, and returns why it failed, with what
// went wrong in taking it back.
func (e *Executor) undo(ctx context.Context, node string, why error) error {
	if err := e.unmark(ctx, node); err != nil {
		return errors.Join(why, fmt.Errorf("untaint node: %w", err))
	}
	return why
}

// noteEnded remembers an instance that was just ended, see busyWith.
func (e *Executor) noteEnded(instance string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	forget(e.ended, now, endedFor)
	e.ended[instance] = now
}

// validate reads the node again and checks that the plan still holds for it: it
// is the Node that was planned about, and still the instance.
func (e *Executor) validate(ctx context.Context, r scaledown.Removal) (*corev1.Node, error) {
	node, err := e.o.Kube.CoreV1().Nodes().Get(ctx, r.Node, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	if node.UID != r.UID {
		return nil, errors.New("node is another one now")
	}
	if node.DeletionTimestamp != nil {
		return nil, errors.New("node is being deleted")
	}
	if text := scaledown.Refuses(node, time.Now(), e.o.MaxHold, r.Empty); text != "" {
		return nil, fmt.Errorf("the node is held: %s", text)
	}
	pods, err := drain.Left(ctx, e.o.Kube, r.Node)
	if err != nil {
		return nil, err
	}
	if err := unplanned(r)(pods); err != nil {
		return nil, err
	}
	return node, e.stillBound(ctx, node, r.InstanceID, actMark)
}

// stillFree is the last look before the instance ends: no pod has come back,
// and neither local software nor an operator has taken hold of the node during
// the drain, and the node is still the instance. Without our mark pods may come at
// any moment.
func (e *Executor) stillFree(ctx context.Context, r scaledown.Removal, uid types.UID) error {
	pods, err := drain.Left(ctx, e.o.Kube, r.Node)
	if err != nil {
		return err
	}
	if len(pods) > 0 {
		return fmt.Errorf("pod %s/%s is on the node", pods[0].Namespace, pods[0].Name)
	}
	node, err := e.o.Kube.CoreV1().Nodes().Get(ctx, r.Node, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read node: %w", err)
	}
	switch reason := scaledown.TakenBack(node, time.Now(), e.o.MaxHold); {
	case node.UID != uid:
		return errors.New("node is another one now")
	case !kube.Marked(node):
		return errors.New("somebody took the mark of the removal off the node")
	case reason != "":
		e.resisted(uid)
		return fmt.Errorf("the node is held: %s", reason)
	}
	return e.stillBound(ctx, node, r.InstanceID, actTerminate)
}

// reserve takes one of the group's places above its minimum for a removal until
// release is called, so that removals in parallel never want more places than
// there are. The group is looked at afresh, one removal at a time.
func (e *Executor) reserve(ctx context.Context, group string) (release func(), err error) {
	select {
	case e.reserving <- struct{}{}:
		defer func() { <-e.reserving }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	spare, err := e.o.Groups.Spare(ctx, group)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if spare <= e.reserved[group] {
		return nil, asg.ErrAtMin
	}
	e.reserved[group]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.reserved[group]--
	}, nil
}
