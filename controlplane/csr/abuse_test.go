package csr_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/lab/bubble"
)

func TestRequestsWithOtherTokensAreIgnored(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.tokens.Store(&tokens{"fedcba": true})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "a", "")
		if e := <-r.Events.Events; !strings.Contains(e, "Warning IgnoreUnknownToken") || len(r.Events.Events) > 0 {
			t.Errorf("event %q and %d more", e, len(r.Events.Events))
		}
		if n := len(r.CallsTo("ec2", "DescribeInstances")); n != 1 {
			t.Errorf("%d questions to EC2: expected the one for who may be joining", n)
		}
	})
}

func TestHoldsWhileTokensCannotBeLookedUp(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.tokens.Store(new(tokens))
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
		r.tokens.Store(&tokens{"abcdef": true})
		bubble.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

// What is approved is what was judged: a request that changed in between is
// judged afresh.
func TestRequestThatChangesMeanwhileIsJudgedAgain(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		gr := certificatesv1.Resource("certificatesigningrequests")
		var tries atomic.Int32
		r.Client.PrependReactor("update", gr.Resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
			c := action.(clienttesting.UpdateAction).GetObject().(*certificatesv1.CertificateSigningRequest)
			if action.GetSubresource() != "approval" || c.ResourceVersion != "7" {
				t.Errorf("update of %q by resource version %q", action.GetSubresource(), c.ResourceVersion)
			}
			if tries.Add(1) > 1 {
				return false, nil, nil
			}
			changed := c.DeepCopy()
			changed.Status.Conditions, changed.Spec.ExpirationSeconds = nil, nil
			if err := r.Client.Tracker().Update(certificatesv1.SchemeGroupVersion.WithResource(gr.Resource), changed, ""); err != nil {
				t.Error(err)
			}
			return true, nil, apierrors.NewConflict(gr, c.Name, errors.New("changed"))
		})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Second)
		r.want(t, "a", "Denied JoineryLongLived")
	})
}
