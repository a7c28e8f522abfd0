package report

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/output"
)

// nodePatcher is the part of a client that writes our own Node.
type nodePatcher interface {
	Patch(ctx context.Context, name string, pt types.PatchType, data []byte, opts metav1.PatchOptions, subresources ...string) (*corev1.Node, error)
}

// fieldManager owns what the agent writes, in the Node's managed fields.
const fieldManager = "joinery-agent"

// Heartbeat is how often the condition is written when nothing changes, so that
// readers can tell a word that still holds from one of an agent that died.
const Heartbeat = time.Minute

// writer writes the condition and the annotation, each only when there is news.
type writer struct {
	nodes nodePatcher
	name  string
	// last is the condition as it was written last; zero before.
	last corev1.NodeCondition
	// said is the report as it was written last, but for its time.
	said v1alpha1.NodeReport
}

// adopt takes over the condition that the Node bears from an earlier run, so
// that a restart of the agent is no transition.
func (w *writer) adopt(node *corev1.Node) {
	if node == nil || w.last.Type != "" {
		return
	}
	if c := kube.Condition(node, v1alpha1.ScaleDownReady); c != nil {
		w.last = *c
		w.last.LastHeartbeatTime = metav1.Time{}
	}
}

// condition writes the verdict if it is news or a heartbeat is due.
func (w *writer) condition(ctx context.Context, v Verdict, now time.Time) error {
	next := corev1.NodeCondition{
		Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionFalse, Reason: string(v.Reason), Message: output.Line(v.Message),
		LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
	if v.Reason.Ready() {
		next.Status = corev1.ConditionTrue
	}
	if next.Status == w.last.Status {
		next.LastTransitionTime = w.last.LastTransitionTime
		if next.Reason == w.last.Reason && next.Message == w.last.Message && now.Sub(w.last.LastHeartbeatTime.Time) < Heartbeat {
			return nil
		}
	}
	// Conditions merge by their type, so that the kubelet's own stay untouched.
	patch := map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{next}}}
	if err := w.patch(ctx, types.StrategicMergePatchType, patch, "status"); err != nil {
		return fmt.Errorf("publish condition: %w", err)
	}
	w.last = next
	return nil
}

// report writes the node report if anything but its time is news.
func (w *writer) report(ctx context.Context, r v1alpha1.NodeReport, now time.Time) error {
	if same(r, w.said) {
		return nil
	}
	said := r
	r.ReportedAt = now.UTC()
	text, err := r.Encode()
	if err != nil {
		return err
	}
	patch := map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.NodeReportAnnotation: string(text)}}}
	if err := w.patch(ctx, types.MergePatchType, patch); err != nil {
		return fmt.Errorf("publish node report: %w", err)
	}
	w.said = said
	return nil
}

func (w *writer) patch(ctx context.Context, kind types.PatchType, patch any, subresources ...string) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = w.nodes.Patch(ctx, w.name, kind, data, metav1.PatchOptions{FieldManager: fieldManager}, subresources...)
	return err
}

func same(a, b v1alpha1.NodeReport) bool {
	return a.InstanceID == b.InstanceID && a.ImageID == b.ImageID && a.AgentVersion == b.AgentVersion && a.BootID == b.BootID &&
		a.TokenID == b.TokenID && slices.Equal(a.Holds, b.Holds) && slices.Equal(a.Boot, b.Boot) && rejoins(a) == rejoins(b)
}

func rejoins(r v1alpha1.NodeReport) int {
	if r.Rejoin == nil {
		return 0
	}
	return r.Rejoin.Times
}
