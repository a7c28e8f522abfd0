package join

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	certificatesclient "k8s.io/client-go/kubernetes/typed/certificates/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

// certificateSeconds is the life asked for, the least that the API takes: the
// certificate is needed only until the kubelet has its own.
const certificateSeconds int32 = 600

// lookAgain is how long to wait before a request is looked at again after a
// watch of it ended.
const lookAgain = 500 * time.Millisecond

// Certificate is a client certificate and its key, PEM.
type Certificate struct {
	Certificate []byte
	Key         v1alpha1.Secret
}

// DeniedError says that the approver decided against the request.
type DeniedError struct {
	// Request is the name of the CertificateSigningRequest.
	Request string
	// Reason and Message are the approver's.
	Reason, Message string
}

// Error gives the approver's reason.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("certificate request %s was denied: %s: %s", e.Request, e.Reason, e.Message)
}

// Slow says that to ask again soon is of no use: each denial is an alarm.
func (e *DeniedError) Slow() bool { return true }

// SignerError says that the request was approved and could not be signed.
type SignerError struct{ Request, Reason, Message string }

// Error gives the signer's reason.
func (e *SignerError) Error() string {
	return fmt.Sprintf("certificate request %s could not be signed: %s: %s", e.Request, e.Reason, e.Message)
}

// PendingError says that nobody decided about the request in time.
type PendingError struct {
	Request  string
	Approved bool
	After    time.Duration
}

// Error says how long was waited and for whom.
func (e *PendingError) Error() string {
	if e.Approved {
		return fmt.Sprintf("certificate request %s is approved and not signed after %s: does kube-controller-manager run?", e.Request, e.After)
	}
	return fmt.Sprintf("certificate request %s is not approved after %s: does the cluster's joinery-controller run?", e.Request, e.After)
}

// Prover proves which instance a certificate request comes from;
// proof.Instance in production.
type Prover interface {
	// Prove returns the text for the annotation v1alpha1.STSProofAnnotation.
	Prove(ctx context.Context, cluster string, request []byte) (string, error)
}

// Request is a certificate that a node asks for.
type Request struct {
	// Cluster and Node are the names of both.
	Cluster, Node string
	// Key is the node's own.
	Key *ecdsa.PrivateKey
	// Prover proves which instance asks.
	Prover Prover
}

// RequestCertificate asks for a client certificate for the node's name, and
// waits for it: up to undecided for the approver, and then up to decisionWait for
// the signer. Errors are *DeniedError, *SignerError, *PendingError, *ClockError
// and *AskAgainError as the approver says, those of the prover and those of the
// API server.
func RequestCertificate(ctx context.Context, client certificatesclient.CertificateSigningRequestInterface, r Request, undecided time.Duration) (Certificate, error) {
	request, err := newRequest(r.Key, r.Node)
	if err != nil {
		return Certificate{}, err
	}
	evidence, err := r.Prover.Prove(ctx, r.Cluster, request.Spec.Request)
	if err != nil {
		return Certificate{}, err
	}
	request.Annotations = map[string]string{v1alpha1.STSProofAnnotation: evidence}
	made, err := client.Create(ctx, request, metav1.CreateOptions{})
	if err != nil {
		return Certificate{}, fmt.Errorf("request certificate: %w", err)
	}
	began := time.Now()
	last, err := awaitFor(ctx, client, made, undecided)
	if outOfTime(ctx, err) && condition(last, certificatesv1.CertificateApproved) != nil {
		last, err = awaitFor(ctx, client, last, max(0, decisionWait-time.Since(began)))
	}
	if outOfTime(ctx, err) {
		return Certificate{}, &PendingError{Request: made.Name, Approved: condition(last, certificatesv1.CertificateApproved) != nil, After: time.Since(began).Round(time.Second)}
	}
	if err != nil {
		return Certificate{}, err
	}
	return checkIssued(last.Status.Certificate, r.Key, r.Node)
}

func outOfTime(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
}

func awaitFor(ctx context.Context, client certificatesclient.CertificateSigningRequestInterface, r *certificatesv1.CertificateSigningRequest, most time.Duration) (*certificatesv1.CertificateSigningRequest, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return awaitCertificate(ctx, client, r)
}

// newRequest returns the request that kubelets make for themselves: the
// approver and the signer accept no other.
func newRequest(key *ecdsa.PrivateKey, nodeName string) (*certificatesv1.CertificateSigningRequest, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: kube.NodeUser(nodeName), Organization: []string{kube.NodesGroup}},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	seconds := certificateSeconds
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "joinery-" + nodeName + "-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:           pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName:        certificatesv1.KubeAPIServerClientKubeletSignerName,
			ExpirationSeconds: &seconds,
			Usages:            []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, nil
}

// awaitCertificate watches the request until it is decided and returns it as it
// was seen last. Watches end by themselves and may be refused under load; the
// request is then read again.
func awaitCertificate(ctx context.Context, client certificatesclient.CertificateSigningRequestInterface, r *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	name := r.Name
	for {
		if done, err := decided(r); done {
			return r, err
		}
		next := watchOnce(ctx, client, r)
		if ctx.Err() != nil {
			return next, ctx.Err()
		}
		if done, derr := decided(next); done {
			return next, derr
		}
		r = next
		if err := wait.For(ctx, lookAgain); err != nil {
			return r, err
		}
		if next, err := client.Get(ctx, name, metav1.GetOptions{}); err == nil {
			r = next
		} else if ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
}

// watchOnce follows the request until it is decided or the watch ends, and
// returns it as it was seen last: unchanged when the watch was refused, which
// reading it again makes up for.
func watchOnce(ctx context.Context, client certificatesclient.CertificateSigningRequestInterface, r *certificatesv1.CertificateSigningRequest) *certificatesv1.CertificateSigningRequest {
	w, err := client.Watch(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("metadata.name", r.Name).String(),
		ResourceVersion: r.ResourceVersion,
	})
	if err != nil {
		return r
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return r
		case e, open := <-w.ResultChan():
			next, ours := e.Object.(*certificatesv1.CertificateSigningRequest)
			if !open || e.Type == watch.Error || !ours {
				return r
			}
			r = next
			if done, _ := decided(r); done {
				return r
			}
		}
	}
}

func decided(r *certificatesv1.CertificateSigningRequest) (bool, error) {
	for _, kind := range []certificatesv1.RequestConditionType{v1alpha1.AskAgainCondition, certificatesv1.CertificateDenied} {
		if c := condition(r, kind); c != nil && c.Status == corev1.ConditionTrue {
			if err := askAgain(r.Name, c.Reason, c.Message); err != nil {
				return true, err
			}
		}
	}
	if c := condition(r, certificatesv1.CertificateDenied); c != nil {
		return true, &DeniedError{Request: r.Name, Reason: c.Reason, Message: c.Message}
	}
	if c := condition(r, certificatesv1.CertificateFailed); c != nil {
		return true, &SignerError{Request: r.Name, Reason: c.Reason, Message: c.Message}
	}
	return len(r.Status.Certificate) > 0, nil
}

func condition(r *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequestCondition {
	for i, c := range r.Status.Conditions {
		if c.Type == kind {
			return &r.Status.Conditions[i]
		}
	}
	return nil
}
