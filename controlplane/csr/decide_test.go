package csr_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

const (
	instanceID = "i-0123456789abcdef0"
	goneID     = "i-00000000000000001"
)

var policy = csr.Policy{
	Cluster: "demo", Region: "us-west-2", VPC: "vpc-1", Mode: v1alpha1.IPName,
	LaunchWindow: 30 * time.Minute, Visible: 2 * time.Minute, MaxGrants: 5, MaxRejoins: 2, JudgedPerMinute: 120, JudgedAtOnce: 20,
	Proof: v1alpha1.ProofAccept,
}

// honest returns the request of an agent without a proof, and the facts that
// speak for it.
func honest() (csr.Request, csr.Facts) {
	return csr.Request{Name: "joinery-x", Created: launch.Add(20 * time.Second), Node: nodeName, Key: "k1", Kind: csr.Bootstrap, Life: 10 * time.Minute},
		csr.Facts{
			Candidates: []fleet.Instance{{
				ID: instanceID, State: "running", PrivateIP: "10.99.0.12", Zone: "us-west-2a", VPC: "vpc-1",
				LaunchTime: launch, Cluster: "demo", Group: "workers", PrivateDNSName: nodeName,
				PublicDNSName:    "ec2-203-0-113-7.us-west-2.compute.amazonaws.com",
				Addresses:        ips("10.99.0.12", "10.99.0.112", "10.99.1.12", "203.0.113.7", "2001:db8::12", "2001:db8::112"),
				PrimaryAddresses: ips("10.99.0.12", "203.0.113.7", "2001:db8::12"),
			}},
			Groups: map[string]*fleet.Group{"workers": {
				Name: "workers", Members: []fleet.Member{{ID: instanceID, LifecycleState: fleet.InService}},
				Tags: map[string]string{"k8s.io/cluster-autoscaler/enabled": "true", "k8s.io/cluster-autoscaler/demo": "owned", "joinery:cluster": "demo"},
			}},
		}
}

type change = func(*csr.Request, *csr.Facts)

func instance(set func(*fleet.Instance)) change {
	return func(_ *csr.Request, f *csr.Facts) { set(&f.Candidates[0]) }
}

func lifecycle(s fleet.Lifecycle) change {
	return func(_ *csr.Request, f *csr.Facts) { f.Groups["workers"].Members[0].LifecycleState = s }
}

// proven is a request with a good proof of an instance.
func proven(id string, and ...change) change {
	return func(r *csr.Request, f *csr.Facts) {
		r.Proof, f.Proof.Identity = "signed", &attest.Identity{InstanceID: id}
		for _, c := range and {
			c(r, f)
		}
	}
}

func falsely(why attest.Why) change {
	return func(r *csr.Request, f *csr.Facts) {
		r.Proof, f.Proof.False = "forged", &attest.FalseError{Why: why, Detail: "because"}
	}
}

func grant(g csr.Grant) change {
	return func(_ *csr.Request, f *csr.Facts) { f.Grants = map[string]csr.Grant{instanceID: g} }
}

// verdicts has a row for every reason that facts can lead to. young is the
// verdict 30 s after the launch, old that 5 min after it.
var verdicts = []struct {
	name       string
	change     change
	young, old csr.Action
	reason     csr.Reason
}{
	{"honest", func(*csr.Request, *csr.Facts) {}, csr.Approve, csr.Approve, csr.Attested},
	{"pending", instance(func(i *fleet.Instance) { i.State = "pending" }), csr.Approve, csr.Approve, csr.Attested},
	{"launching", lifecycle("Pending:Wait"), csr.Approve, csr.Approve, csr.Attested},

	{"no such instance", func(_ *csr.Request, f *csr.Facts) { f.Candidates = nil }, csr.Hold, csr.Deny, csr.NoInstance},
	{"other address", instance(func(i *fleet.Instance) { i.PrivateIP = "10.99.0.13" }), csr.Deny, csr.Deny, csr.WrongName},
	{"other region's name", func(r *csr.Request, _ *csr.Facts) { r.Node = "ip-10-99-0-12.ec2.internal" }, csr.Deny, csr.Deny, csr.WrongName},
	{"address of a terminated one", instance(func(i *fleet.Instance) { i.PrivateIP, i.State = "", "terminated" }), csr.Hold, csr.Deny, csr.NoInstance},
	{"two", func(_ *csr.Request, f *csr.Facts) {
		second := f.Candidates[0]
		second.ID = goneID
		f.Candidates = append(f.Candidates, second)
	}, csr.Deny, csr.Deny, csr.Ambiguous},
	{"other VPC", instance(func(i *fleet.Instance) { i.VPC = "vpc-2" }), csr.Hold, csr.Deny, csr.OtherVPC},
	{"stopped", instance(func(i *fleet.Instance) { i.State = "stopped" }), csr.Hold, csr.Deny, csr.NotRunning},
	{"shutting down", instance(func(i *fleet.Instance) { i.State = "shutting-down" }), csr.Hold, csr.Deny, csr.NotRunning},
	{"launched long ago", instance(func(i *fleet.Instance) { i.LaunchTime = launch.Add(-31 * time.Minute) }), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"request before the launch", instance(func(i *fleet.Instance) { i.LaunchTime = launch.Add(time.Minute) }), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"clocks a little apart", instance(func(i *fleet.Instance) { i.LaunchTime = launch.Add(28 * time.Second) }), csr.Approve, csr.Approve, csr.Attested},
	{"no cluster tag", instance(func(i *fleet.Instance) { i.Cluster = "" }), csr.Hold, csr.Deny, csr.OtherCluster},
	{"other cluster", instance(func(i *fleet.Instance) { i.Cluster = "prod" }), csr.Deny, csr.Deny, csr.OtherCluster},
	{"no group", instance(func(i *fleet.Instance) { i.Group = "" }), csr.Hold, csr.Deny, csr.NotManaged},
	{"unknown group", func(_ *csr.Request, f *csr.Facts) { f.Groups = nil }, csr.Hold, csr.Deny, csr.NotManaged},
	{"group of another cluster", func(_ *csr.Request, f *csr.Facts) {
		delete(f.Groups["workers"].Tags, "k8s.io/cluster-autoscaler/demo")
	}, csr.Hold, csr.Deny, csr.NotManaged},
	{"group not enabled", func(_ *csr.Request, f *csr.Facts) {
		delete(f.Groups["workers"].Tags, "k8s.io/cluster-autoscaler/enabled")
	}, csr.Hold, csr.Deny, csr.NotManaged},
	{"forged group tag", func(_ *csr.Request, f *csr.Facts) { f.Groups["workers"].Members = nil }, csr.Hold, csr.Deny, csr.NotManaged},
	{"in the warm pool", lifecycle("Warmed:Running"), csr.Hold, csr.Hold, csr.WarmPool},
	{"terminating", lifecycle("Terminating:Wait"), csr.Deny, csr.Deny, csr.Leaving},
	{"in standby", lifecycle("Standby"), csr.Hold, csr.Hold, csr.NotInService},
	{"in a state of the future", lifecycle("Quarantined"), csr.Hold, csr.Hold, csr.NotInService},
	{"detaching", lifecycle("Detaching"), csr.Deny, csr.Deny, csr.Leaving},

	{"a control-plane node's name", node(controlPlane), csr.Deny, csr.Deny, csr.ControlPlaneName},
	{"joined", node(isReady), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"joined and admitted", node(isReady, isAdmitted), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"half joined", node(), csr.Approve, csr.Approve, csr.Attested},
	{"half joined, without provider id", node(providerID("")), csr.Approve, csr.Approve, csr.Attested},
	{"half joined, without addresses", node(internalIPs()), csr.Approve, csr.Approve, csr.Attested},
	{"joined before, not Ready now", both(node(), grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true})), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"joined in an earlier launch", both(node(), grant(csr.Grant{Launch: launch.Add(-time.Hour), Keys: []string{"k0"}, Joined: true})), csr.Approve, csr.Approve, csr.Attested},
	{"name of a node that claims another instance", node(of(goneID, "running")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of a Ready node that claims another instance", node(isReady, of(goneID, "running")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of a node that claims a stopped instance", node(isReady, of(goneID, "stopped")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of a node with another address", node(isReady, internalIPs("10.99.0.66")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of a node without provider id, with another address", node(isReady, providerID(""), internalIPs("10.99.0.66")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of a node of another provider", node(isReady, providerID("gce:///x/y")), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"name of an adopted node that is no instance", node(isReady, providerID(""), isAdopted, notInEC2), csr.Deny, csr.Deny, csr.NameTaken},
	{"name of an adopted node of a living instance", node(isReady, of(goneID, "running"), isAdopted), csr.Deny, csr.Deny, csr.NameTaken},
	{"name of an adopted node of an instance that is gone", node(isReady, of(goneID, "terminated"), isAdopted), csr.Hold, csr.Hold, csr.StaleNode},
	{"name of a node that an operator adopted as another", node(isReady, providerID(""), internalIPs("10.99.0.66"), isAdopted, madeAgain), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"adopted itself", node(isReady, isAdopted), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"EC2 was not asked about the node", node(of(goneID, ""), unasked), csr.Hold, csr.Hold, csr.EC2Unreachable},
	{"node of an instance that EC2 does not know", node(of(goneID, "")), csr.Hold, csr.Hold, csr.StaleNode},
	{"stale node", node(isReady, of(goneID, "terminated")), csr.Hold, csr.Hold, csr.StaleNode},
	{"impostor, before an instance that gets nothing", both(node(isReady, of(goneID, "running")), grant(csr.Grant{Launch: launch, Keys: []string{"a", "b", "c", "d", "e"}})), csr.Deny, csr.Deny, csr.TooManyGrants},

	{"same key again", grant(csr.Grant{Launch: launch, Keys: []string{"k0", "k1"}}), csr.Approve, csr.Approve, csr.Repeated},
	{"same key at the limit", grant(csr.Grant{Launch: launch, Keys: []string{"k1", "k2", "k3", "k4", "k5"}}), csr.Approve, csr.Approve, csr.Repeated},
	{"another key", grant(csr.Grant{Launch: launch, Keys: []string{"k0"}}), csr.Approve, csr.Approve, csr.Regranted},
	{"another key, node gone after it joined", grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true}), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"another key while the first is good", grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Until: launch.Add(10 * time.Minute)}), csr.Hold, csr.Hold, csr.SecondClaimant},
	{"another key, proven", proven(instanceID, grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Until: launch.Add(10 * time.Minute)})), csr.Approve, csr.Approve, csr.Regranted},
	{"proven", proven(instanceID), csr.Approve, csr.Approve, csr.Proven},
	{"node deleted, proven", proven(instanceID, grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true})), csr.Approve, csr.Approve, csr.Rejoined},
	{"node made again by the kubelet, proven", proven(instanceID, both(node(isReady), grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true}))), csr.Approve, csr.Approve, csr.Rejoined},
	{"node made again by a thief, proven", proven(instanceID, both(node(isReady, of(goneID, "running")), grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true}))), csr.Hold, csr.Hold, csr.ImpostorNode},
	{"node is there and admitted, proven", proven(instanceID, both(node(isReady, isAdmitted), grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true}))), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"node deleted, long after the launch, proven", proven(instanceID, old), csr.Approve, csr.Approve, csr.Rejoined},
	{"node deleted, long after the launch, proven with the proof of another", proven(goneID, old), csr.Deny, csr.Deny, csr.ProofOtherInstance},
	{"node is there, long after the launch, proven", proven(instanceID, both(old, node(isReady, isAdmitted))), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"its group lets it go, long after the launch, proven", proven(instanceID, both(old, lifecycle("Terminating:Wait"))), csr.Deny, csr.Deny, csr.Leaving},
	{"proven before the launch", proven(instanceID, instance(func(i *fleet.Instance) { i.LaunchTime = launch.Add(time.Minute) })), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"deleted twice within the hour", proven(instanceID, rejoins(launch.Add(-10*time.Minute))), csr.Approve, csr.Approve, csr.RejoinedAgain},
	{"deleted again after the hour", proven(instanceID, rejoins(launch.Add(-61*time.Minute))), csr.Approve, csr.Approve, csr.Rejoined},
	{"deleted too often within the hour", proven(instanceID, rejoins(launch.Add(-20*time.Minute), launch.Add(-10*time.Minute))), csr.Deny, csr.Deny, csr.TooManyGrants},
	{"proven too often", proven(instanceID, grant(csr.Grant{Launch: launch, Keys: []string{"a", "b", "c", "d", "e"}})), csr.Deny, csr.Deny, csr.TooManyGrants},
	{"another instance's proof", proven(goneID), csr.Deny, csr.Deny, csr.ProofOtherInstance},
	{"a proof that is not looked at", func(r *csr.Request, _ *csr.Facts) { r.Proof = "x" }, csr.Hold, csr.Hold, csr.STSUnreachable},
	{"malformed proof", falsely(attest.Malformed), csr.Deny, csr.Deny, csr.ProofMalformed},
	{"proof for another endpoint", falsely(attest.OtherEndpoint), csr.Deny, csr.Deny, csr.ProofOtherEndpoint},
	{"proof that grew old here", falsely(attest.Expired), csr.Hold, csr.Hold, csr.ProofAged},
	{"proof by a wrong clock", falsely(attest.Skewed), csr.Hold, csr.Hold, csr.ClockSkew},
	{"replayed proof", falsely(attest.Rejected), csr.Deny, csr.Deny, csr.ProofRejected},
	{"another role's proof", falsely(attest.OtherIdentity), csr.Deny, csr.Deny, csr.ProofOtherIdentity},
	{"a kind of falsehood of the future", falsely("Sung"), csr.Deny, csr.Deny, csr.ProofMalformed},
	{"out of a pool of running instances", func(r *csr.Request, f *csr.Facts) {
		f.Candidates[0].LaunchTime = launch.Add(-48 * time.Hour)
		lifecycle("Pending:Wait")(r, f)
	}, csr.Approve, csr.Approve, csr.Attested},
	{"launched long ago and in service", instance(func(i *fleet.Instance) { i.LaunchTime = launch.Add(-48 * time.Hour) }), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"too many keys", grant(csr.Grant{Launch: launch, Keys: []string{"a", "b", "c", "d", "e"}}), csr.Deny, csr.Deny, csr.TooManyGrants},
	{"many keys in an earlier launch", grant(csr.Grant{Launch: launch.Add(-time.Hour), Keys: []string{"a", "b", "c", "d", "e"}}), csr.Approve, csr.Approve, csr.Attested},
}

func TestDecide(t *testing.T) {
	for _, test := range verdicts {
		for age, want := range map[time.Duration]csr.Action{30 * time.Second: test.young, 5 * time.Minute: test.old} {
			t.Run(test.name+" after "+age.String(), func(t *testing.T) {
				r, f := honest()
				test.change(&r, &f)
				v := csr.Decide(r, f, launch.Add(age), policy)
				if v.Action != want || v.Reason != test.reason || v.Message == "" {
					t.Errorf("got %s %s (%s): expected %s %s", v.Action, v.Reason, v.Message, want, test.reason)
				}
				if v.Action == csr.Approve && v.Instance.ID != instanceID {
					t.Errorf("approved for instance %q", v.Instance.ID)
				}
			})
		}
	}
}

func TestModesOfProof(t *testing.T) {
	for _, test := range []struct {
		name   string
		mode   v1alpha1.ProofMode
		change change
		action csr.Action
		reason csr.Reason
	}{
		{"off ignores a false one", v1alpha1.ProofOff, falsely(attest.Rejected), csr.Approve, csr.Attested},
		{"accept takes none", v1alpha1.ProofAccept, func(*csr.Request, *csr.Facts) {}, csr.Approve, csr.Attested},
		{"accept takes no false one", v1alpha1.ProofAccept, falsely(attest.Rejected), csr.Deny, csr.ProofRejected},
		{"require takes a good one", v1alpha1.ProofRequire, proven(instanceID), csr.Approve, csr.Proven},
		{"require takes none at all", v1alpha1.ProofRequire, func(*csr.Request, *csr.Facts) {}, csr.Deny, csr.ProofMissing},
		{"require lets old user data", v1alpha1.ProofRequire, func(r *csr.Request, _ *csr.Facts) { r.Legacy = true }, csr.Approve, csr.Attested},
		{"an unknown mode requires", "", func(*csr.Request, *csr.Facts) {}, csr.Deny, csr.ProofMissing},
	} {
		r, f := honest()
		test.change(&r, &f)
		p := policy
		p.Proof = test.mode
		if v := csr.Decide(r, f, launch.Add(time.Minute), p); v.Action != test.action || v.Reason != test.reason {
			t.Errorf("%s: got %s %s (%s)", test.name, v.Action, v.Reason, v.Message)
		}
	}
}

// A Ready Node of an instance that EC2 does not show may be right while EC2 is late,
// and cannot be once it is not: the name is another, living instance's.
func TestReadyNodeOfAnUnknownInstance(t *testing.T) {
	for age, want := range map[time.Duration]csr.Reason{30 * time.Second: csr.NameTaken, 5 * time.Minute: csr.ImpostorNode} {
		r, f := honest()
		node(isReady, of(goneID, ""))(&r, &f)
		if v := csr.Decide(r, f, launch.Add(age), policy); v.Action != csr.Hold || v.Reason != want {
			t.Errorf("after %s: %+v", age, v)
		}
	}
}

// A second rejoin starts over: what the first was given does not count against it,
// and the Node that follows is awaited.
func TestRejoinIsRemembered(t *testing.T) {
	r, f := honest()
	proven(instanceID, grant(csr.Grant{Launch: launch, Node: nodeName, Keys: []string{"a", "b", "c", "d", "e"}, Own: "o", OwnOf: 5, Joined: true}))(&r, &f)
	now := launch.Add(time.Minute)
	g := csr.Decide(r, f, now, policy).Remember
	if g == nil || g.Joined || g.Own != "" || g.OwnOf != 0 || !slices.Equal(g.Keys, []string{"k1"}) || !slices.Equal(g.Rejoins, []time.Time{now}) || !g.Granted.Equal(now) {
		t.Errorf("remembers %+v", g)
	}
}

func TestGrantIsRemembered(t *testing.T) {
	r, f := honest()
	now := launch.Add(time.Minute)
	g := csr.Decide(r, f, now, policy).Remember
	if g == nil || g.Node != nodeName || !slices.Equal(g.Keys, []string{"k1"}) || !g.Until.Equal(now.Add(10*time.Minute)) || !g.Launch.Equal(launch) {
		t.Errorf("remembers %+v", g)
	}
}

func TestUnknownKindIsHeld(t *testing.T) {
	r, f := honest()
	r.Kind = "Wish"
	if v := csr.Decide(r, f, launch, policy); v.Action != csr.Hold {
		t.Errorf("got %+v", v)
	}
}

func TestProblemIsDeniedWhateverTheFacts(t *testing.T) {
	r, f := honest()
	r.Problem = &csr.Verdict{Action: csr.Deny, Reason: csr.HasSANs}
	if v := csr.Decide(r, f, launch, policy); v.Action != csr.Deny || v.Reason != csr.HasSANs {
		t.Errorf("got %+v", v)
	}
}

func TestNothingIsApprovedLongAfterTheWindow(t *testing.T) {
	r, f := honest()
	if v := csr.Decide(r, f, launch.Add(59*time.Minute), policy); v.Action != csr.Approve {
		t.Errorf("held for 59 minutes: %+v: expected approval, the request came in time", v)
	}
	if v := csr.Decide(r, f, launch.Add(61*time.Minute), policy); v.Action != csr.Deny || v.Reason != csr.OutsideWindow {
		t.Errorf("held for 61 minutes: %+v", v)
	}
}

func TestDecideInTheOtherNameModes(t *testing.T) {
	for mode, name := range map[v1alpha1.NodeNameMode]string{
		v1alpha1.ResourceName: instanceID + ".us-west-2.compute.internal", v1alpha1.InstanceIDName: instanceID,
	} {
		r, f := honest()
		p := policy
		p.Mode, r.Node = mode, name
		if v := csr.Decide(r, f, launch.Add(time.Minute), p); v.Action != csr.Approve {
			t.Errorf("%s: %+v", mode, v)
		}
		r.Node = strings.Replace(name, "0123", "0124", 1)
		if v := csr.Decide(r, f, launch.Add(time.Minute), p); v.Action == csr.Approve {
			t.Errorf("%s: approved %s", mode, r.Node)
		}
	}
}

// A kubelet whose certificate ended, or is refused, cannot keep its Node Ready. Its
// instance proves itself again and joins, though the Node stands and was admitted.
func TestNodeThatLostItsCertificateJoinsAgain(t *testing.T) {
	for name, test := range map[string]struct {
		ready  bool
		proof  bool
		want   csr.Action
		reason csr.Reason
	}{
		"silent and proven":     {false, true, csr.Approve, csr.Rejoined},
		"silent and not proven": {false, false, csr.Deny, csr.AlreadyJoined},
		"Ready and proven":      {true, true, csr.Deny, csr.AlreadyJoined},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := honest()
			f.Node = &csr.Node{UID: "u", Ready: test.ready, Admitted: true, Binding: binding.Verdict{
				Standing: binding.Bound, Reason: binding.FactsAgree, InstanceID: f.Candidates[0].ID, Instance: &f.Candidates[0]}}
			f.Grants = map[string]csr.Grant{f.Candidates[0].ID: {Launch: f.Candidates[0].LaunchTime.UTC(), Node: r.Node, Keys: []string{"other"}, Joined: true}}
			p := policy
			p.Proof = v1alpha1.ProofAccept
			if test.proof {
				r.Proof = "proof"
				f.Proof = csr.Proof{Identity: &attest.Identity{InstanceID: f.Candidates[0].ID, Kind: v1alpha1.ProofInstanceIdentity}}
			}
			if v := csr.Decide(r, f, r.Created.Add(time.Minute), p); v.Action != test.want || v.Reason != test.reason {
				t.Errorf("%s %s: %s", v.Action, v.Reason, v.Message)
			}
		})
	}
}
