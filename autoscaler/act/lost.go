package act

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// The reasons of Events about nodes that are lost and about the brake.
const (
	reasonLost  = "NodeLost"
	reasonBrake = "TooManyUnready"
)

// removeLost ends the instance of a node whose kubelet is silent. There is no one to
// drain for; its pods are finished by force once EC2 proves that the instance is gone
// (controlplane/nodes), and not before: a machine that is merely cut off still runs them.
func (e *Executor) removeLost(ctx context.Context, r scaledown.Removal, log *slog.Logger) {
	node, err := e.stillLost(ctx, r)
	if err != nil {
		log.Info("removal dropped", "error", err)
		return
	}
	if err = e.endLost(ctx, node, r); err != nil {
		log.Warn("removal rolled back", "error", err)
		e.failedRemoval(node, r, err)
		return
	}
	log.Warn("instance of a lost node terminated")
	e.o.Groups.Removed(r.Group, time.Now())
	if e.o.Removed != nil {
		e.o.Removed()
	}
	e.o.Metrics.lost.WithLabelValues(r.Group).Inc()
	e.o.Events.Eventf(node, corev1.EventTypeWarning, reasonLost, "terminated instance %s of group %s: %s", r.InstanceID, r.Group, r.Reason)
}

// stillLost reads the node again and checks that it is the Node that was planned about,
// still silent, not held, and still the instance.
func (e *Executor) stillLost(ctx context.Context, r scaledown.Removal) (*corev1.Node, error) {
	node, err := e.o.Kube.CoreV1().Nodes().Get(ctx, r.Node, metav1.GetOptions{})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read node: %w", err)
	case node.UID != r.UID:
		return nil, errors.New("node is another one now")
	case node.DeletionTimestamp != nil:
		return nil, errors.New("node is being deleted")
	case kube.KubeletReady(node):
		return nil, errors.New("node is Ready again")
	}
	if text := scaledown.Refuses(node, time.Now(), e.o.MaxHold, false); text != "" {
		return nil, fmt.Errorf("the node is held: %s", text)
	}
	return node, e.stillBound(ctx, node, r.InstanceID, actTerminate)
}

// endLost marks the node and ends its instance. The mark is taken back if that fails.
func (e *Executor) endLost(ctx context.Context, node *corev1.Node, r scaledown.Removal) error {
	if err := drain.Mark(ctx, e.o.Kube, r.Node, node.UID, false); err != nil {
		return fmt.Errorf("taint node: %w", err)
	}
	if err := e.o.Groups.Lose(ctx, r.Group, r.InstanceID); err != nil {
		return e.undo(ctx, r.Node, err)
	}
	e.noteEnded(r.InstanceID)
	return nil
}

// TellLost emits an Event on each node that is lost, for as long as it is, and one while
// too many nodes are silent at once.
func (e *Executor) TellLost(d scaledown.Decision) {
	if d.Brake != "" {
		e.eventOnController(reasonBrake, d.Brake)
	}
	for _, l := range d.Lost {
		n, err := e.o.Nodes.Get(l.Node)
		if err != nil {
			continue // gone meanwhile
		}
		if text := lostText(l); e.firstNotice(notice{n.UID, reasonLost, text}) {
			e.o.Events.Event(n, corev1.EventTypeWarning, reasonLost, text)
		}
	}
}

// shownPods bounds the pods that an Event names.
const shownPods = 5

func lostText(l scaledown.Lost) string {
	text := "the kubelet is not Ready and may not come back"
	if l.Kept != "" {
		text += "; the node stays: " + l.Kept
	}
	if len(l.Pods) > 0 {
		text += fmt.Sprintf("; %d pods end only with it: %s", len(l.Pods), strings.Join(l.Pods[:min(len(l.Pods), shownPods)], ", "))
	}
	if l.Claims > 0 {
		text += fmt.Sprintf("; %d of them have volumes that stay attached until then", l.Claims)
	}
	return text
}
