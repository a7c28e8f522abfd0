package csr_test

import (
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/instances"
)

const (
	instanceID = "i-0123456789abcdef0"
	goneID     = "i-00000000000000001"
)

var policy = csr.Policy{
	Cluster: "demo", Region: "us-west-2", VPC: "vpc-1", Mode: v1alpha1.IPName,
	LaunchWindow: 30 * time.Minute, Visible: 2 * time.Minute, MaxGrants: 5, MaxHeld: 3,
}

// honest returns the request of an agent and the facts that prove it.
func honest() (csr.Request, csr.Facts) {
	return csr.Request{Name: "joinery-x", Created: launch.Add(20 * time.Second), Node: nodeName, Key: "k1"},
		csr.Facts{
			Candidates: []instances.Instance{{
				ID: instanceID, State: "running", PrivateIP: "10.99.0.12", Zone: "us-west-2a", VPC: "vpc-1",
				LaunchTime: launch, Cluster: "demo", Group: "workers",
			}},
			Groups: map[string]*instances.Group{"workers": {
				Name: "workers", Lifecycles: map[string]string{instanceID: "InService"},
				Tags: map[string]string{"k8s.io/cluster-autoscaler/enabled": "true", "k8s.io/cluster-autoscaler/demo": "owned"},
			}},
		}
}

type change = func(*csr.Request, *csr.Facts)

func instance(set func(*instances.Instance)) change {
	return func(_ *csr.Request, f *csr.Facts) { set(&f.Candidates[0]) }
}

func lifecycle(s string) change {
	return func(_ *csr.Request, f *csr.Facts) { f.Groups["workers"].Lifecycles[instanceID] = s }
}

func node(n csr.Node) change { return func(_ *csr.Request, f *csr.Facts) { f.Node = &n } }

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
	{"pending", instance(func(i *instances.Instance) { i.State = "pending" }), csr.Approve, csr.Approve, csr.Attested},
	{"launching", lifecycle("Pending:Wait"), csr.Approve, csr.Approve, csr.Attested},

	{"no such instance", func(_ *csr.Request, f *csr.Facts) { f.Candidates = nil }, csr.Hold, csr.Deny, csr.NoInstance},
	{"other address", instance(func(i *instances.Instance) { i.PrivateIP = "10.99.0.13" }), csr.Deny, csr.Deny, csr.WrongName},
	{"other region's name", func(r *csr.Request, _ *csr.Facts) { r.Node = "ip-10-99-0-12.ec2.internal" }, csr.Deny, csr.Deny, csr.WrongName},
	{"address of a terminated one", instance(func(i *instances.Instance) { i.PrivateIP, i.State = "", "terminated" }), csr.Hold, csr.Deny, csr.NoInstance},
	{"two", func(_ *csr.Request, f *csr.Facts) {
		second := f.Candidates[0]
		second.ID = goneID
		f.Candidates = append(f.Candidates, second)
	}, csr.Deny, csr.Deny, csr.Ambiguous},
	{"other VPC", instance(func(i *instances.Instance) { i.VPC = "vpc-2" }), csr.Hold, csr.Deny, csr.OtherVPC},
	{"stopped", instance(func(i *instances.Instance) { i.State = "stopped" }), csr.Hold, csr.Deny, csr.NotRunning},
	{"shutting down", instance(func(i *instances.Instance) { i.State = "shutting-down" }), csr.Hold, csr.Deny, csr.NotRunning},
	{"launched long ago", instance(func(i *instances.Instance) { i.LaunchTime = launch.Add(-31 * time.Minute) }), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"request before the launch", instance(func(i *instances.Instance) { i.LaunchTime = launch.Add(time.Minute) }), csr.Deny, csr.Deny, csr.OutsideWindow},
	{"clocks a little apart", instance(func(i *instances.Instance) { i.LaunchTime = launch.Add(28 * time.Second) }), csr.Approve, csr.Approve, csr.Attested},
	{"no cluster tag", instance(func(i *instances.Instance) { i.Cluster = "" }), csr.Hold, csr.Deny, csr.OtherCluster},
	{"other cluster", instance(func(i *instances.Instance) { i.Cluster = "prod" }), csr.Deny, csr.Deny, csr.OtherCluster},
	{"no group", instance(func(i *instances.Instance) { i.Group = "" }), csr.Hold, csr.Deny, csr.NotManaged},
	{"unknown group", func(_ *csr.Request, f *csr.Facts) { f.Groups = nil }, csr.Hold, csr.Deny, csr.NotManaged},
	{"group of another cluster", func(_ *csr.Request, f *csr.Facts) {
		delete(f.Groups["workers"].Tags, "k8s.io/cluster-autoscaler/demo")
	}, csr.Hold, csr.Deny, csr.NotManaged},
	{"group not enabled", func(_ *csr.Request, f *csr.Facts) {
		delete(f.Groups["workers"].Tags, "k8s.io/cluster-autoscaler/enabled")
	}, csr.Hold, csr.Deny, csr.NotManaged},
	{"forged group tag", func(_ *csr.Request, f *csr.Facts) { f.Groups["workers"].Lifecycles = nil }, csr.Hold, csr.Deny, csr.NotManaged},
	{"in the warm pool", lifecycle("Warmed:Running"), csr.Hold, csr.Hold, csr.WarmPool},
	{"terminating", lifecycle("Terminating:Wait"), csr.Deny, csr.Deny, csr.Leaving},
	{"in standby", lifecycle("Standby"), csr.Hold, csr.Hold, csr.NotInService},
	{"in a state of the future", lifecycle("Quarantined"), csr.Hold, csr.Hold, csr.NotInService},
	{"detaching", lifecycle("Detaching"), csr.Deny, csr.Deny, csr.Leaving},

	{"a master's name", node(csr.Node{ControlPlane: true, InstanceID: instanceID}), csr.Deny, csr.Deny, csr.ControlPlaneName},
	{"joined", node(csr.Node{Ready: true, InstanceID: instanceID}), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"half joined", node(csr.Node{InstanceID: instanceID}), csr.Approve, csr.Approve, csr.Attested},
	{"joined before, not Ready now", func(r *csr.Request, f *csr.Facts) {
		node(csr.Node{InstanceID: instanceID})(r, f)
		grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true})(r, f)
	}, csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"joined in an earlier launch", func(r *csr.Request, f *csr.Facts) {
		node(csr.Node{InstanceID: instanceID})(r, f)
		grant(csr.Grant{Launch: launch.Add(-time.Hour), Keys: []string{"k0"}, Joined: true})(r, f)
	}, csr.Approve, csr.Approve, csr.Attested},
	{"name of a living node", node(csr.Node{InstanceID: goneID}), csr.Deny, csr.Deny, csr.NameTaken},
	{"name of a living Ready node", node(csr.Node{InstanceID: goneID, Ready: true}), csr.Deny, csr.Deny, csr.NameTaken},
	{"node without provider id", node(csr.Node{}), csr.Deny, csr.Deny, csr.NameTaken},
	{"node of an instance that EC2 does not know", node(csr.Node{InstanceID: goneID, InstanceUnknown: true}), csr.Hold, csr.Hold, csr.StaleNode},
	{"Ready node of an instance that EC2 does not know", node(csr.Node{InstanceID: goneID, InstanceUnknown: true, Ready: true}), csr.Hold, csr.Deny, csr.NameTaken},
	{"stale node", node(csr.Node{InstanceID: goneID, InstanceGone: true, Ready: true}), csr.Hold, csr.Hold, csr.StaleNode},

	{"same key again", grant(csr.Grant{Launch: launch, Keys: []string{"k0", "k1"}}), csr.Approve, csr.Approve, csr.Repeated},
	{"same key at the limit", grant(csr.Grant{Launch: launch, Keys: []string{"k1", "k2", "k3", "k4", "k5"}}), csr.Approve, csr.Approve, csr.Repeated},
	{"another key", grant(csr.Grant{Launch: launch, Keys: []string{"k0"}}), csr.Approve, csr.Approve, csr.Regranted},
	{"another key, node gone after it joined", grant(csr.Grant{Launch: launch, Keys: []string{"k0"}, Joined: true}), csr.Approve, csr.Approve, csr.Regranted},
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
