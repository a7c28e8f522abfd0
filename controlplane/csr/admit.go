package csr

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/kube"
)

// admitNode marks a Ready Node as the one of an approved join: of a launch that
// was granted its certificate under that name and has not joined yet, by an
// instance that the Node is bound to. again asks to look once more, as EC2 may not
// show everything yet.
func (a *Approver) admitNode(ctx context.Context, name string) (again bool, err error) {
	granted, err := a.grants.All(ctx)
	if err != nil {
		return false, err
	}
	pending := map[string]Grant{}
	for id, g := range granted {
		if g.pending(name) {
			pending[id] = g
		}
	}
	if len(pending) == 0 {
		return false, nil
	}
	n, err := a.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && !kube.KubeletReady(n) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read node: %w", err)
	}
	v, err := a.binding.Fresh(ctx, name, n.UID)
	if err != nil {
		return false, err
	}
	g, known := pending[v.InstanceID]
	if v.Standing != binding.Bound || !known || !g.Launch.Equal(v.Instance.LaunchTime) {
		a.log.Warn("node is Ready and not admitted", "node", name, "standing", v.Standing, "reason", v.Reason, "message", v.Message)
		return v.Reason == binding.NoSuchInstance || v.Reason == binding.NoInstance, nil
	}
	// The label first: dying in between costs another look, the other order would
	// leave a Node that is never admitted.
	if err := a.label(ctx, n); err != nil {
		return false, err
	}
	a.log.Info("node admitted", "node", name, "uid", n.UID, "instance", v.InstanceID)
	return false, a.grants.Joined(ctx, v.InstanceID, name, time.Now())
}

// label sets binding.AdmittedLabel. The UID in the patch is a precondition: the
// name may be another Node's by now.
func (a *Approver) label(ctx context.Context, n *corev1.Node) error {
	if admitted(n) {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": n.UID, "labels": map[string]string{binding.AdmittedLabel: string(n.UID)}}})
	if err != nil {
		return fmt.Errorf("encode patch of node %s: %w", n.Name, err)
	}
	if _, err = a.client.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("label node %s: %w", n.Name, err)
	}
	return nil
}
