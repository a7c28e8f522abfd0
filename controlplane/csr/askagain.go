package csr

import (
	"context"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
)

// askedFor is how long a request stays after its node was told to ask again. Then
// it is denied, so that Kubernetes deletes it: it leaves requests that have a
// condition of any type.
const askedFor = 10 * time.Minute

// falseReasons name the ways in which a proof is false.
var falseReasons = map[attest.Why]Reason{
	attest.Malformed: ProofMalformed, attest.OtherEndpoint: ProofOtherEndpoint,
	attest.Rejected: ProofRejected, attest.OtherIdentity: ProofOtherIdentity, attest.OtherKind: ProofOtherKind,
}

// disbelieve judges by a proof that proves nothing. A wrong clock and a long wait
// here are not the instance's fault: it is told to ask again.
func disbelieve(no *attest.FalseError) *Verdict {
	switch no.Why {
	case attest.Skewed:
		return hold(ClockSkew, "%s", v1alpha1.SkewMessage(no.Ahead, no.Detail))
	case attest.Expired:
		return hold(ProofAged, "%s", no.Detail)
	}
	reason, known := falseReasons[no.Why]
	if !known {
		reason = ProofMalformed
	}
	return deny(reason, "%v", no)
}

// askedAgain is the condition by which the node was told to ask again; nil for none.
func askedAgain(c *certificatesv1.CertificateSigningRequest) *certificatesv1.CertificateSigningRequestCondition {
	for i := range c.Status.Conditions {
		if k := &c.Status.Conditions[i]; k.Type == v1alpha1.AskAgainCondition {
			return k
		}
	}
	return nil
}

// askAgain tells the node on its request, which it can read, to make another one.
func (a *Approver) askAgain(ctx context.Context, c *certificatesv1.CertificateSigningRequest, v Verdict) error {
	next := c.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, condition(v1alpha1.AskAgainCondition, v))
	_, err := a.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, c.Name, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("tell the node to ask again: %w", err)
	}
	return nil
}

// superseded denies a request whose node was told to ask again long ago; nil for
// any other.
func superseded(c *certificatesv1.CertificateSigningRequest) *Verdict {
	k := askedAgain(c)
	if k == nil {
		return nil
	}
	reason := ProofAged
	if k.Reason == v1alpha1.AskAgainClockSkew {
		reason = ClockSkew
	}
	return deny(reason, "%s", k.Message)
}
