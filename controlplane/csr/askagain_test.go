package csr_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// A wrong clock is no alarm: the node is told how wrong it is, on its own request.
func TestWrongClockIsToldTheNode(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		c := r.request(t, r.instance.PrivateDNSName)
		c.Annotations = map[string]string{v1alpha1.STSProofAnnotation: r.prove(t, c.Spec.Request)}
		bubble.Sleep(187 * time.Second) // as if signed by a clock that is behind
		r.send(t, "late", c, time.Second)
		r.want(t, "late", "JoineryAskAgain JoineryClockSkew")
		got, err := r.Client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), "late", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if ahead, ok := v1alpha1.Skew(got.Status.Conditions[0].Message); !ok || ahead.Round(2*time.Second) != -188*time.Second && ahead.Round(2*time.Second) != -186*time.Second {
			t.Errorf("message %q: read as %s", got.Status.Conditions[0].Message, ahead)
		}
		if e := <-r.Events.Events; !strings.Contains(e, "Normal HoldClockSkew") || len(r.Events.Events) != 0 {
			t.Errorf("event %q and %d more", e, len(r.Events.Events))
		}
		if n := len(r.CallsTo("sts", "GetCallerIdentity")); n > 0 {
			t.Errorf("STS was asked %d times", n)
		}
		r.askProven(t, "again", r.instance.PrivateDNSName, time.Second)
		r.want(t, "again", "Approved JoineryProven")
		// Kubernetes leaves requests with a condition, unless they are denied.
		bubble.Sleep(11 * time.Minute)
		r.want(t, "late", "JoineryAskAgain JoineryClockSkew, Denied JoineryClockSkew")
		for len(r.Events.Events) > 0 {
			if e := <-r.Events.Events; strings.Contains(e, "Warning") {
				t.Errorf("event %q", e)
			}
		}
	})
}

// A proof that grew old while STS was away is not the instance's fault.
func TestProofThatGrewOldHere(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		remove := r.Inject(awssim.Fault{Service: "sts", Code: awssim.Throttle})
		r.askProven(t, "a", r.instance.PrivateDNSName, 15*time.Minute)
		r.want(t, "a", "JoineryAskAgain JoineryProofAged")
		remove()
		r.askProven(t, "again", r.instance.PrivateDNSName, time.Second)
		r.want(t, "again", "Approved JoineryProven")
	})
}
