package join_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

// cluster returns a client whose API server names requests as a real one does,
// and decides about each by decide after delay.
func cluster(t *testing.T, delay time.Duration, decide func(*certificatesv1.CertificateSigningRequest)) *fake.Clientset {
	c := fake.NewSimpleClientset()
	c.PrependReactor("create", "certificatesigningrequests", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*certificatesv1.CertificateSigningRequest)
		r.Name = r.GenerateName + "abcde"
		if decide == nil {
			return false, nil, nil
		}
		time.AfterFunc(delay, func() {
			r := r.DeepCopy()
			decide(r)
			if _, err := c.CertificatesV1().CertificateSigningRequests().UpdateStatus(context.WithoutCancel(t.Context()), r, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		})
		return false, nil, nil
	})
	return c
}

// evidence stands for the instance's credentials: it says what it was asked to
// prove.
type evidence struct{ fails error }

func (e evidence) Prove(_ context.Context, cluster string, request []byte) (string, error) {
	return fmt.Sprintf("%s %x", cluster, sha256.Sum256(request)), e.fails
}

func asked(t *testing.T, node string) join.Request {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return join.Request{Cluster: "demo", Node: node, Key: key, Prover: evidence{}}
}

func TestRequestCarriesItsProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		c := cluster(t, time.Second, func(r *certificatesv1.CertificateSigningRequest) {
			if want, _ := (evidence{}).Prove(t.Context(), "demo", r.Spec.Request); r.Annotations[v1alpha1.STSProofAnnotation] != want {
				t.Errorf("annotations %q: expected the proof %q", r.Annotations, want)
			}
			r.Status.Certificate = ca.sign(t, r)
		})
		client := c.CertificatesV1().CertificateSigningRequests()
		if _, err := join.RequestCertificate(t.Context(), client, asked(t, "n"), time.Minute); err != nil {
			t.Error(err)
		}
		ask, no := asked(t, "n"), errors.New("no credentials")
		ask.Prover = evidence{no}
		if _, err := join.RequestCertificate(t.Context(), client, ask, time.Minute); !errors.Is(err, no) {
			t.Errorf("got %v without a proof", err)
		}
		if made, err := client.List(t.Context(), metav1.ListOptions{}); err != nil || len(made.Items) != 1 {
			t.Errorf("%d requests, %v: expected none without a proof", len(made.Items), err)
		}
	})
}

func decision(kind certificatesv1.RequestConditionType, reason string) func(*certificatesv1.CertificateSigningRequest) {
	return func(r *certificatesv1.CertificateSigningRequest) {
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: kind, Reason: reason, Message: "because"}}
	}
}

func TestRequestCertificate(t *testing.T) {
	const name = "ip-10-99-0-12.us-west-2.compute.internal"
	ca := newAuthority(t)
	issue := func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = ca.sign(t, r) }
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for title, tc := range map[string]struct {
		delay  time.Duration
		decide func(*certificatesv1.CertificateSigningRequest)
		want   func(error) bool
	}{
		"issued":              {time.Second, issue, func(err error) bool { return err == nil }},
		"issued late":         {3 * time.Minute, issue, func(err error) bool { return err == nil }},
		"denied":              {time.Second, decision(certificatesv1.CertificateDenied, "NotOurs"), isDenied},
		"failed":              {time.Second, decision(certificatesv1.CertificateFailed, "SignerValidationFailure"), isSigner},
		"not approved":        {0, nil, isPending(false)},
		"not signed":          {time.Second, decision(certificatesv1.CertificateApproved, "ok"), isPending(true)},
		"wrong clock":         {time.Second, says(v1alpha1.AskAgainCondition, v1alpha1.AskAgainClockSkew), isClock},
		"wrong clock, denied": {time.Second, says(certificatesv1.CertificateDenied, v1alpha1.AskAgainClockSkew), isClock},
		"aged proof":          {time.Second, says(v1alpha1.AskAgainCondition, v1alpha1.AskAgainProofAged), is[*join.AskAgainError]},
		"other's key": {time.Second, func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Certificate = ca.issue(t, "system:node:"+name, other.Public(), time.Hour)
		}, func(err error) bool { return err != nil && strings.Contains(err.Error(), "another key") }},
		"no certificate": {time.Second, func(r *certificatesv1.CertificateSigningRequest) {
			r.Status.Certificate = []byte("rubbish")
		}, func(err error) bool { return err != nil }},
	} {
		t.Run(title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cluster(t, tc.delay, tc.decide)
				began := time.Now()
				cert, err := join.RequestCertificate(t.Context(), c.CertificatesV1().CertificateSigningRequests(), asked(t, name), 4*time.Minute)
				if !tc.want(err) {
					t.Errorf("got %v", err)
				}
				if (len(cert.Certificate) > 0) != (err == nil) || strings.Contains(err2text(err), "PRIVATE") {
					t.Errorf("got certificate %q with error %v", cert.Certificate, err)
				}
				if took := time.Since(began); tc.decide != nil && err == nil && took > tc.delay+time.Second {
					t.Errorf("took %s although it was decided after %s", took, tc.delay)
				}
			})
		})
	}
}

func says(kind certificatesv1.RequestConditionType, reason string) func(*certificatesv1.CertificateSigningRequest) {
	return func(r *certificatesv1.CertificateSigningRequest) {
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{
			{Type: kind, Status: "True", Reason: reason, Message: v1alpha1.SkewMessage(-340*time.Second, "x")},
		}
	}
}

func isClock(err error) bool {
	var c *join.ClockError
	return errors.As(err, &c) && c.Ahead == -340*time.Second && c.Waits() > 0 &&
		err.Error() == "clock is 340 s behind the API server: waiting for time synchronisation"
}

// A request that no one decides about is soon followed by another; one that is
// approved is waited for.
func TestUndecidedRequestIsNotWaitedForLong(t *testing.T) {
	for name, tc := range map[string]struct {
		decide func(*certificatesv1.CertificateSigningRequest)
		want   time.Duration
	}{
		"undecided": {nil, 30 * time.Second},
		"approved":  {decision(certificatesv1.CertificateApproved, "ok"), 4 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cluster(t, time.Second, tc.decide)
				began := time.Now()
				_, err := join.RequestCertificate(t.Context(), c.CertificatesV1().CertificateSigningRequests(), asked(t, "n"), 30*time.Second)
				if took := time.Since(began); !is[*join.PendingError](err) || took != tc.want {
					t.Errorf("got %v after %s, want %s", err, took, tc.want)
				}
			})
		})
	}
}

func err2text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func isDenied(err error) bool {
	var d *join.DeniedError
	return errors.As(err, &d) && d.Reason == "NotOurs" && d.Message == "because" && d.Slow()
}

func isSigner(err error) bool {
	var s *join.SignerError
	return errors.As(err, &s) && s.Reason == "SignerValidationFailure"
}

func isPending(approved bool) func(error) bool {
	return func(err error) bool {
		var p *join.PendingError
		return errors.As(err, &p) && p.Approved == approved && p.After == 4*time.Minute
	}
}

func TestRequestSurvivesABrokenWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t)
		c := cluster(t, 10*time.Second, func(r *certificatesv1.CertificateSigningRequest) { r.Status.Certificate = ca.sign(t, r) })
		c.PrependWatchReactor("*", clienttesting.DefaultWatchReactor(nil, errors.New("too many requests")))
		began := time.Now()
		if _, err := join.RequestCertificate(t.Context(), c.CertificatesV1().CertificateSigningRequests(), asked(t, "n"), time.Minute); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
