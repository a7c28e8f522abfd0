package csr_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func TestRequestsWithOtherTokensAreIgnored(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.tokens.Store(&tokens{"fedcba": true})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "a", "")
		if e := <-r.events.Events; !strings.Contains(e, "Warning IgnoreUnknownToken") || len(r.events.Events) > 0 {
			t.Errorf("event %q and %d more", e, len(r.events.Events))
		}
		if n := len(r.CallsTo("ec2", "DescribeInstances")); n != 0 {
			t.Errorf("%d questions to EC2", n)
		}
	})
}

func TestHoldsWhileTokensCannotBeLookedUp(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.tokens.Store(new(tokens))
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
		r.tokens.Store(&tokens{"abcdef": true})
		time.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

// A thief floods: what EC2 is asked stays bounded, the alarm is raised, and
// honest requests get through once the flood has been denied.
func TestFloodIsBounded(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		for i := range policy.MaxHeld + 5 {
			r.ask(t, fmt.Sprint("flood", i), fmt.Sprintf("ip-10-99-1-%d.us-west-2.compute.internal", i), 0)
		}
		r.ask(t, "honest", r.instance.PrivateDNSName, 30*time.Second)
		alarms := 0
		for len(r.events.Events) > 0 {
			if e := <-r.events.Events; strings.Contains(e, "Warning HoldTooManyHeld") && strings.Contains(e, "bootstrap-token-abcdef") {
				alarms++
			}
		}
		if alarms != 1 {
			t.Errorf("%d alarms in half a minute, want 1", alarms)
		}
		r.ForgetCalls()
		time.Sleep(time.Minute)
		if n := len(r.CallsTo("ec2", "DescribeInstances")); n > policy.MaxHeld*7 {
			t.Errorf("EC2 was asked %d times in a minute for %d held requests", n, policy.MaxHeld)
		}
		time.Sleep(10 * time.Minute)
		r.want(t, "flood0", "Denied JoineryNoInstance")
		r.want(t, "honest", "Approved JoineryAttested")
	})
}

// What is approved is what was judged: a request that changed in between is
// judged afresh.
func TestRequestThatChangesMeanwhileIsJudgedAgain(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		gr := certificatesv1.Resource("certificatesigningrequests")
		var tries atomic.Int32
		r.client.PrependReactor("update", gr.Resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
			c := action.(clienttesting.UpdateAction).GetObject().(*certificatesv1.CertificateSigningRequest)
			if action.GetSubresource() != "approval" || c.ResourceVersion != "7" {
				t.Errorf("update of %q by resource version %q", action.GetSubresource(), c.ResourceVersion)
			}
			if tries.Add(1) > 1 {
				return false, nil, nil
			}
			changed := c.DeepCopy()
			changed.Status.Conditions, changed.Spec.ExpirationSeconds = nil, nil
			if err := r.client.Tracker().Update(certificatesv1.SchemeGroupVersion.WithResource(gr.Resource), changed, ""); err != nil {
				t.Error(err)
			}
			return true, nil, apierrors.NewConflict(gr, c.Name, errors.New("changed"))
		})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Second)
		r.want(t, "a", "Denied JoineryLongLived")
	})
}
