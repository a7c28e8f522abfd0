package csr

import (
	"context"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/output"
)

// execute does what the verdict says; again asks for another judgement later.
func (a *Approver) execute(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, f Facts, v Verdict) (again bool, err error) {
	switch {
	case v.Action == Ignore:
		a.tell(ctx, c, r, v)
		return false, nil
	case v.Action == Hold:
		a.tell(ctx, c, r, v)
		return true, a.whileHeld(ctx, c, r, f, v)
	case v.Remember != nil:
		// Recorded first: dying in between costs one of the launch's grants,
		// the other order would give certificates that nobody remembers.
		err := a.grants.Record(ctx, v.Instance.ID, f.Grants[v.Instance.ID], *v.Remember, time.Now())
		if errors.Is(err, errGrantChanged) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("record grant: %w", err)
		}
	}
	if v.Proof == v1alpha1.ProofInstanceIdentity && v.Instance.ImageID != "" {
		if err := a.images.Record(ctx, v.Instance.ImageID, time.Now()); err != nil {
			return false, err
		}
	}
	if err := a.update(ctx, c, v); apierrors.IsConflict(err) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	a.tell(ctx, c, r, v)
	if v.Remember != nil && f.Node != nil && f.Node.Ready {
		a.queue.Add(item{joined: r.Node}) // it will not become Ready once more
	}
	return false, nil
}

// whileHeld does what a request waits for.
func (a *Approver) whileHeld(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, f Facts, v Verdict) error {
	switch v.Reason {
	case StaleNode, ImpostorNode:
		if r.Kind == Bootstrap {
			return a.deleteStale(ctx, r.Node, f.Node.UID)
		}
	case ClockSkew, ProofAged:
		return a.askAgain(ctx, c, v)
	}
	return nil
}

func (a *Approver) update(ctx context.Context, c *certificatesv1.CertificateSigningRequest, v Verdict) error {
	kind := certificatesv1.CertificateApproved
	if v.Action == Deny {
		kind = certificatesv1.CertificateDenied
	}
	next := c.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, condition(kind, v))
	_, err := a.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, c.Name, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("%s request: %w", v.Action, err)
	}
	return nil
}

// condition writes the verdict on its request.
func condition(kind certificatesv1.RequestConditionType, v Verdict) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: "Joinery" + string(v.Reason), Message: output.Line(v.Message),
	}
}

func (a *Approver) deleteStale(ctx context.Context, name, uid string) error {
	id := types.UID(uid)
	err := a.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &id}})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Node by now
		return nil
	case err != nil:
		return fmt.Errorf("delete stale node %s: %w", name, err)
	}
	a.log.Info("stale node deleted", "node", name, "uid", uid)
	return nil
}
