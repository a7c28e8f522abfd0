package cluster

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// approveMaster does until ctx ends what an operator does while a master joins a
// cluster that approves nothing by itself: find the request of the master's
// kubelet, see that it is the one expected, and approve it. Where
// kube-controller-manager is faster there is nothing to do. It returns what went
// wrong last, nil when all is well.
func (c *Cluster) approveMaster(ctx context.Context, token v1alpha1.Secret, node string) error {
	id, _, _ := strings.Cut(token.Reveal(), ".")
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if err := c.approveRequests(ctx, "system:bootstrap:"+id, "system:node:"+node); ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}

// approveRequests approves what requester asks for the subject and nobody has
// judged yet.
func (c *Cluster) approveRequests(ctx context.Context, requester, subject string) error {
	requests := c.client.CertificatesV1().CertificateSigningRequests()
	list, err := requests.List(ctx, metav1.ListOptions{FieldSelector: "spec.signerName=" + certificatesv1.KubeAPIServerClientKubeletSignerName})
	if err != nil {
		return fmt.Errorf("find the master's signing request: %w", err)
	}
	for _, r := range list.Items {
		if r.Spec.Username != requester || len(r.Status.Conditions) > 0 || !asksFor(r.Spec.Request, subject) {
			continue
		}
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
			Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "LabApproved", Message: "a master that the lab joins",
		}}
		if _, err := requests.UpdateApproval(ctx, r.Name, &r, metav1.UpdateOptions{}); err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("approve the master's signing request: %w", err)
		}
	}
	return nil
}

// asksFor says whether a signing request, in PEM, is for a node's certificate
// with the given common name and nothing else.
func asksFor(request []byte, subject string) bool {
	block, _ := pem.Decode(request)
	if block == nil {
		return false
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return false
	}
	return csr.Subject.CommonName == subject && slices.Equal(csr.Subject.Organization, []string{"system:nodes"}) &&
		len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses)+len(csr.URIs) == 0
}
