package csr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// flood is how many requests a storm has.
const flood = 10_000

// launch has the group launch instances until there are n, and returns all.
func (r *rig) launch(t *testing.T, n int) []awssim.Instance {
	t.Helper()
	g, err := r.Group("workers")
	if err != nil {
		t.Fatal(err)
	}
	g.Max, g.Desired = n, n
	if err := r.PutGroup(g.GroupSpec); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(20 * time.Second)
	return r.Instances()
}

// storm sends as many well-formed requests for the names, one after another, with
// a proof that is of another request.
func (r *rig) storm(t *testing.T, n int, name func(int) string) {
	t.Helper()
	key := newKey(t)
	for i := range n {
		tmpl := template()
		tmpl.Subject.CommonName = "system:node:" + name(i)
		c := agentRequest(t, encode(t, tmpl, key))
		c.Name = fmt.Sprint("storm-", i)
		c.UID, c.ResourceVersion, c.CreationTimestamp = types.UID(c.Name), "7", metav1.Now()
		if i == 0 {
			c.Annotations = map[string]string{v1alpha1.STSProofAnnotation: r.prove(t, []byte("another request"))}
			r.stormProof = c.Annotations
		}
		c.Annotations = r.stormProof
		if err := r.Client.Tracker().Add(c); err != nil { // as Create, and a hundred times faster
			t.Fatal(err)
		}
		if i%50 == 49 { // a watch in memory takes a hundred events at once
			synctest.Wait()
		}
	}
	synctest.Wait()
}

// honest has ten instances ask, and wants all to be let in at the first judgement.
func (r *rig) honest(t *testing.T, ten []awssim.Instance) {
	t.Helper()
	for n, i := range ten {
		r.instance = i
		r.askProven(t, fmt.Sprint("honest-", n), i.PrivateDNSName, 0)
	}
	bubble.Sleep(4 * time.Second) // one look at who may be joining
	for n := range ten {
		r.want(t, fmt.Sprint("honest-", n), "Approved JoineryProven")
	}
}

// reads counts how often the approver read a signing request.
func (r *rig) reads() int {
	n := 0
	for _, a := range r.Client.Actions() {
		if a.GetVerb() == "get" && a.GetResource().Resource == "certificatesigningrequests" {
			n++
		}
	}
	return n
}

func (r *rig) stsCalls() int { return len(r.CallsTo("sts", "GetCallerIdentity")) }
func (r *rig) ec2Calls() int { return len(r.CallsTo("ec2", "DescribeInstances")) }

// A storm for the name of one instance that is joining: it costs STS what one
// instance may cost, and the others nothing.
func TestStormForOneName(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		all := r.launch(t, 11)
		victim, ten := all[10], all[:10]
		r.storm(t, flood, func(int) string { return victim.PrivateDNSName })
		if n, want := r.stsCalls(), policy.JudgedAtOnce+1; n != want {
			t.Errorf("STS was asked %d times at once: expected %d, with the verifier's own account", n, want)
		}
		if n := r.ec2Calls(); n != 1 {
			t.Errorf("EC2 was asked %d times: expected once, for who may be joining", n)
		}
		r.ForgetCalls()
		r.honest(t, ten)
		if n, want := r.stsCalls(), len(ten)+4*policy.JudgedPerMinute/60; n != want {
			t.Errorf("STS was asked %d times in four seconds with ten honest requests: expected %d", n, want)
		}
		if n := r.ec2Calls(); n != len(ten) {
			t.Errorf("EC2 was asked %d times for ten honest requests", n)
		}
		r.ForgetCalls()
		bubble.Sleep(time.Minute)
		if n := r.stsCalls(); n > policy.JudgedPerMinute || n < policy.JudgedPerMinute-1 {
			t.Errorf("STS was asked %d times in a minute: expected %d", n, policy.JudgedPerMinute)
		}
		// The victim is delayed by the others of its name, and by its own way out:
		// the newest request comes first.
		r.instance = victim
		r.askProven(t, "victim", victim.PrivateDNSName, time.Second)
		r.want(t, "victim", "Approved JoineryProven")
	})
}

// A storm for names that no instance has costs nothing but the looks at who may be
// joining, whatever its size; it is denied at leisure.
func TestStormForMadeUpNames(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		ten := r.launch(t, 10)
		r.Client.ClearActions()
		r.storm(t, flood, func(i int) string {
			return fmt.Sprintf("ip-10-98-%d-%d.us-west-2.compute.internal", i/250, i%250+1)
		})
		if sts, ec2, reads := r.stsCalls(), r.ec2Calls(), r.reads(); sts != 0 || ec2 != 1 || reads != 0 {
			t.Errorf("STS was asked %d times, EC2 %d, and %d requests were read: expected one look at EC2 and nothing else", sts, ec2, reads)
		}
		r.ForgetCalls()
		r.honest(t, ten)
		if sts, ec2 := r.stsCalls(), r.ec2Calls(); sts != len(ten)+1 || ec2 > len(ten)+2 {
			t.Errorf("STS was asked %d times and EC2 %d for ten honest requests", sts, ec2)
		}
		r.ForgetCalls()
		r.Client.ClearActions()
		bubble.Sleep(time.Minute)
		if sts, ec2, reads := r.stsCalls(), r.ec2Calls(), r.reads(); sts != 0 || ec2 > 20 || reads != 0 {
			t.Errorf("a minute of waiting: STS was asked %d times, EC2 %d, and %d requests were read", sts, ec2, reads)
		}
		alarms := 0
		for len(r.Events.Events) > 0 {
			if e := <-r.Events.Events; strings.Contains(e, "Warning HoldTooManyHeld") && strings.Contains(e, "bootstrap-token-abcdef") {
				alarms++
			}
		}
		if alarms < 1 || alarms > 2 {
			t.Errorf("%d alarms in a minute", alarms)
		}
		r.ForgetCalls()
		r.Client.ClearActions()
		bubble.Sleep(2 * time.Minute)
		if ec2, reads := r.ec2Calls(), r.reads(); ec2 > 2*60/2+5 || reads > 2*60/2+5 {
			t.Errorf("two minutes of denials: EC2 was asked %d times, and %d requests were read", ec2, reads)
		}
		denied := 0
		for len(r.Events.Events) > 0 {
			if e := <-r.Events.Events; strings.Contains(e, "Warning DenyNoInstance") {
				denied++
			}
		}
		if denied < 30 || denied > 2*60/2+5 {
			t.Errorf("%d requests were denied in two minutes", denied)
		}
	})
}

// Requests from before an instance was launched cannot be its own, and cost nothing.
func TestStormFromBeforeTheLaunch(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		last := r.instance.PrivateDNSName
		at := strings.Index(last, ".")
		var octets [4]int
		if _, err := fmt.Sscanf(last[:at], "ip-%d-%d-%d-%d", &octets[0], &octets[1], &octets[2], &octets[3]); err != nil {
			t.Fatal(err)
		}
		guess := fmt.Sprintf("ip-%d-%d-%d-%d%s", octets[0], octets[1], octets[2], octets[3]+1, last[at:])
		r.storm(t, 1000, func(int) string { return guess })
		bubble.Sleep(time.Minute)
		all := r.launch(t, 2)
		i := slices.IndexFunc(all, func(i awssim.Instance) bool { return i.PrivateDNSName == guess })
		if i < 0 {
			t.Fatalf("no instance is named %s", guess)
		}
		r.ForgetCalls()
		r.instance = all[i]
		r.askProven(t, "honest", guess, 4*time.Second)
		r.want(t, "honest", "Approved JoineryProven")
		if n := r.stsCalls(); n != 2 {
			t.Errorf("STS was asked %d times: expected for the honest request and the verifier's own account", n)
		}
	})
}

// A node floods: its own requests are judged at its own pace, and delay no other.
func TestNodeThatFloods(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		bubble.Sleep(time.Second) // the approver looks
		tmpl := template()
		tmpl.Subject.CommonName = "system:node:" + r.instance.PrivateDNSName
		for n := range 200 {
			c := nodeRequest(t, certificatesv1.KubeAPIServerClientKubeletSignerName, tmpl)
			c.Spec.Username = tmpl.Subject.CommonName
			c.Name, c.CreationTimestamp = fmt.Sprint("flood-", n), metav1.Now()
			if err := r.Client.Tracker().Add(c); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		r.ForgetCalls()
		r.Client.ClearActions()
		r.askProven(t, "honest", r.instance.PrivateDNSName, time.Second)
		r.want(t, "honest", "Approved JoineryProven")
		bubble.Sleep(59 * time.Second)
		if n := r.reads(); n > policy.JudgedPerMinute+3 { // a minute from the first, and the honest one
			t.Errorf("%d requests were read in a minute", n)
		}
	})
}
