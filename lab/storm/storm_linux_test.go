package storm_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/storm/flood"
)

// booting is how many instances boot at once; a computer that cannot carry ten may
// be given fewer.
var booting = flag.Int("instances", 10, "instances that boot during the storm")

const (
	// boot is how long all may take to be Ready; with two cores ten machines boot
	// slowly.
	boot = 6 * time.Minute
	// delay is how much longer they may take in a storm.
	delay = 30 * time.Second
	// memory is what the controller may have resident, in MiB.
	memory = 200
	// requests is how many a storm has, perSecond how many it sends: the API server
	// of one control-plane node on two cores takes some hundred.
	requests, perSecond = 10_000, 150
	// Per name that an instance has: judgements a minute and at once (controlplane/csr,
	// Policy, as cmd/joinery-controller sets it), and how often EC2 is asked at most
	// who may be joining.
	perMinute, atOnce = 120, 20
	lookEvery         = 3 * time.Second
)

// The holder of a live token sends 10,000 well-formed requests with false proofs
// while ten instances boot: nine in ten for names that no instance has, the others
// for an instance that never joins and for the ten themselves.
func TestStormOfFalseRequests(t *testing.T) {
	s := &scene{installation.Open(t), t}
	s.put("idle", "elsewhere", 1) // its agent waits for another cluster's bundle
	idle := s.members("idle", 1)[0]

	s.World.ForgetCalls()
	begin := time.Now()
	s.put("calm", clusterName, *booting)
	all := s.members("calm", *booting)
	calm := s.ready(all, begin, boot)
	t.Logf("without a storm: %d instances Ready after %.1f s; %s; controller %d MiB at most", len(all), calm.Seconds(), describe(s.calls()), s.peakMemory())
	s.emptied("calm", all)

	thief, err := flood.Steal(t.Context(), s.Site, clusterName, idle)
	if err != nil {
		t.Fatal(err)
	}
	s.World.ForgetCalls()
	begin = time.Now()
	s.put("stormy", clusterName, *booting)
	all = s.members("stormy", *booting)
	done := make(chan struct{})
	go func() {
		defer close(done)
		thief.Send(t.Context(), requests, perSecond, func(n int) string { return falseName(n, idle, all) })
	}()
	stormy := s.ready(all, begin, boot)
	sentBefore := thief.Sent.Load()
	<-done
	took, calls, peak := time.Since(begin), s.calls(), s.peakMemory()
	t.Logf("in a storm: Ready after %.1f s, %d requests before that; %d requests in %.1f s, %d refused; %s; controller %d MiB at most",
		stormy.Seconds(), sentBefore, thief.Sent.Load(), took.Seconds(), thief.Refused.Load(), describe(calls), peak)
	if stormy > calm+delay {
		t.Errorf("the storm delayed the joins by %s: expected at most %s", stormy-calm, delay)
	}
	if peak > memory {
		t.Errorf("the controller had %d MiB: expected at most %d", peak, memory)
	}
	s.bounded(calls, took, len(all)+1)
}

// falseName spreads a storm over names: made up, that of idle, and those of all.
func falseName(n int, idle awssim.Instance, all []awssim.Instance) string {
	switch n % 20 {
	case 0:
		return idle.PrivateDNSName
	case 10:
		return all[n/20%len(all)].PrivateDNSName
	}
	return fmt.Sprintf("ip-10-98-%d-%d.us-west-2.compute.internal", n/250%250, n%250+1)
}

// bounded checks what the storm made AWS be asked, with as many names of instances
// among those that were claimed.
func (s *scene) bounded(calls map[string]int, took time.Duration, names int) {
	s.t.Helper()
	judged := names * (atOnce + int(took.Minutes()*perMinute) + 1)
	if n := calls["sts GetCallerIdentity"]; n > judged {
		s.t.Errorf("STS was asked %d times: expected at most %d", n, judged)
	}
	// Each judgement of a proof that is good asks about its instance, its Node's
	// instance and no more; the other parts of the controller ask every few seconds.
	looks := int(took/lookEvery) + 1
	if n, most := calls["ec2 DescribeInstances"], 4*looks+10*names+50; n > most {
		s.t.Errorf("EC2 was asked %d times: expected at most %d", n, most)
	}
	if s.t.Failed() {
		s.t.Logf("calls: %v", calls)
	}
}
