package binding_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

const (
	vpc     = "vpc-1"
	cluster = "demo"
)

var rules = binding.Rules{Cluster: cluster, Region: "us-west-2", VPC: vpc, Mode: v1alpha1.IPName}

// instance n has the address 10.0.0.n.
func instance(n int, change ...func(*fleet.Instance)) fleet.Instance {
	ip := fmt.Sprintf("10.0.0.%d", n)
	i := fleet.Instance{ID: id(n), State: "running", PrivateIP: ip, Zone: "us-west-2a", VPC: vpc, Cluster: cluster, Group: "workers",
		Addresses: []netip.Addr{netip.MustParseAddr(ip), netip.MustParseAddr(fmt.Sprintf("10.0.1.%d", n))}}
	for _, c := range change {
		c(&i)
	}
	return i
}

func id(n int) string       { return fmt.Sprintf("i-%017x", n) }
func name(n int) string     { return fmt.Sprintf("ip-10-0-0-%d.us-west-2.compute.internal", n) }
func provider(n int) string { return "aws:///us-west-2a/" + id(n) }

// node n is the honest Node of instance n.
func node(n int, change ...func(*binding.Node)) binding.Node {
	out := binding.Node{Name: name(n), UID: fmt.Sprintf("uid-%d", n), ProviderID: provider(n), Addresses: []string{fmt.Sprintf("10.0.0.%d", n)}}
	for _, c := range change {
		c(&out)
	}
	return out
}

func called(s string) func(*binding.Node)   { return func(n *binding.Node) { n.Name = s } }
func claims(s string) func(*binding.Node)   { return func(n *binding.Node) { n.ProviderID = s } }
func at(s ...string) func(*binding.Node)    { return func(n *binding.Node) { n.Addresses = s } }
func controlPlane(n *binding.Node)          { n.ControlPlane = true }
func in(state string) func(*fleet.Instance) { return func(i *fleet.Instance) { i.State = state } }
func inVPC(v string) func(*fleet.Instance)  { return func(i *fleet.Instance) { i.VPC = v } }
func tagged(c string) func(*fleet.Instance) { return func(i *fleet.Instance) { i.Cluster = c } }
func gone(i *fleet.Instance) {
	*i = fleet.Instance{ID: i.ID, State: "terminated", Zone: i.Zone, Cluster: i.Cluster, Group: i.Group}
}

// drawInstances are what EC2 shows of six instances: each as it was launched, gone, stopped,
// of another VPC, with another tag of its cluster, or not at all.
func drawInstances(r *rand.Rand, otherTags ...string) map[string]fleet.Instance {
	truth := map[string]fleet.Instance{}
	for n := 1; n <= 6; n++ {
		i := instance(n)
		switch r.IntN(9) {
		case 0:
			gone(&i)
		case 1:
			in("stopped")(&i)
		case 2:
			inVPC("vpc-2")(&i)
		case 3:
			tagged(otherTags[r.IntN(len(otherTags))])(&i)
		case 4:
			continue
		}
		truth[i.ID] = i
	}
	return truth
}

func TestJudge(t *testing.T) {
	record := binding.Records{name(1): {UID: "uid-1", ProviderID: provider(1), InEC2: true}}
	onPremises := binding.Records{"rack-7": {UID: "uid-1"}}
	for _, test := range []struct {
		name    string
		node    binding.Node // judged
		others  []binding.Node
		fleet   []fleet.Instance
		records binding.Records
		want    binding.Standing
		reason  binding.Reason
		proven  bool
		id      string
	}{
		{name: "honest", node: node(1), fleet: []fleet.Instance{instance(1)}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "starting", node: node(1), fleet: []fleet.Instance{instance(1, in("pending"))}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "without a zone", node: node(1, claims("aws:///"+id(1))), fleet: []fleet.Instance{instance(1)}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "zone in the authority", node: node(1, claims("aws://us-west-2a/"+id(1))), fleet: []fleet.Instance{instance(1)}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "untagged", node: node(1), fleet: []fleet.Instance{instance(1, tagged(""))}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "secondary address too", node: node(1, at("10.0.0.1", "10.0.1.1")), fleet: []fleet.Instance{instance(1)}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "no provider id, and the name of an instance", node: node(1, claims("")), fleet: []fleet.Instance{instance(1)}, want: binding.Bound, reason: binding.FactsAgree, id: id(1)},

		{name: "its neighbour", node: node(1, claims(provider(2))), others: []binding.Node{node(2)}, fleet: []fleet.Instance{instance(1), instance(2)},
			want: binding.Impostor, reason: binding.ClaimedTwice, proven: true, id: id(2)},
		{name: "its neighbour, which has no Node", node: node(1, claims(provider(2))), fleet: []fleet.Instance{instance(1), instance(2)},
			want: binding.Impostor, reason: binding.OtherName, proven: true, id: id(2)},
		{name: "its neighbour, with the neighbour's address", node: node(1, claims(provider(2)), at("10.0.0.2")), fleet: []fleet.Instance{instance(1), instance(2)},
			want: binding.Impostor, reason: binding.OtherName, proven: true, id: id(2)},
		{name: "an untagged instance", node: node(1, claims(provider(2))), fleet: []fleet.Instance{instance(1, gone), instance(2, tagged(""))},
			want: binding.Impostor, reason: binding.OtherName, proven: true, id: id(2)},
		{name: "a custom name", node: node(1, called("worker-1")), fleet: []fleet.Instance{instance(1)}, want: binding.Impostor, reason: binding.OtherName, id: id(1)},
		{name: "a custom name for another's instance", node: node(1, called("worker-1"), claims(provider(2))), others: []binding.Node{node(2)}, fleet: []fleet.Instance{instance(2)},
			want: binding.Impostor, reason: binding.ClaimedTwice, proven: true, id: id(2)},
		{name: "an adopted node's instance, under the name of another", node: node(1, claims(provider(2))), others: []binding.Node{node(7, called("old"), claims(provider(2)))},
			records: binding.Records{"old": {UID: "uid-7", ProviderID: provider(2), InEC2: true}}, fleet: []fleet.Instance{instance(1, gone), instance(2)},
			want: binding.Impostor, reason: binding.ClaimedTwice, proven: true, id: id(2)},
		{name: "a control-plane node is not removed", node: node(1, claims(provider(2)), controlPlane), others: []binding.Node{node(2)}, fleet: []fleet.Instance{instance(2)},
			want: binding.Impostor, reason: binding.ClaimedTwice, id: id(2)},
		{name: "another's address", node: node(1, at("10.0.0.9")), fleet: []fleet.Instance{instance(1)}, want: binding.Impostor, reason: binding.OtherAddress, id: id(1)},
		{name: "another's address too", node: node(1, at("10.0.0.1", "10.0.0.9")), fleet: []fleet.Instance{instance(1)}, want: binding.Impostor, reason: binding.OtherAddress, id: id(1)},
		{name: "a secondary address only", node: node(1, at("10.0.1.1")), fleet: []fleet.Instance{instance(1)}, want: binding.Impostor, reason: binding.OtherAddress, id: id(1)},
		{name: "no address that can be read", node: node(1, at("10.0.0.1 ")), fleet: []fleet.Instance{instance(1)}, want: binding.Impostor, reason: binding.OtherAddress, id: id(1)},
		{name: "another cluster's instance", node: node(1), fleet: []fleet.Instance{instance(1, tagged("prod"))}, want: binding.Impostor, reason: binding.OtherCluster, id: id(1)},

		{name: "terminated", node: node(1), fleet: []fleet.Instance{instance(1, gone)}, want: binding.Leaving, reason: binding.InstanceGone, id: id(1)},
		{name: "shutting down", node: node(1), fleet: []fleet.Instance{instance(1, in("shutting-down"))}, want: binding.Leaving, reason: binding.InstanceGone, id: id(1)},
		{name: "stopped", node: node(1), fleet: []fleet.Instance{instance(1, in("stopped"))}, want: binding.Leaving, reason: binding.InstanceStopped, id: id(1)},
		{name: "stopped, by its name", node: node(1, claims("")), fleet: []fleet.Instance{instance(1, in("stopped"))}, want: binding.Leaving, reason: binding.InstanceStopped, id: id(1)},

		{name: "unknown to EC2", node: node(1), want: binding.Unknown, reason: binding.NoSuchInstance, id: id(1)},
		{name: "no address yet", node: node(1, at()), fleet: []fleet.Instance{instance(1)}, want: binding.Unknown, reason: binding.NoAddress, id: id(1)},
		{name: "another VPC", node: node(1), fleet: []fleet.Instance{instance(1, inVPC("vpc-2"))}, want: binding.Unknown, reason: binding.OtherVPC, id: id(1)},
		{name: "no provider id and no instance", node: node(1, claims("")), want: binding.Unknown, reason: binding.NoInstance},
		{name: "no provider id, and another VPC's instance", node: node(1, claims("")), fleet: []fleet.Instance{instance(1, inVPC("vpc-2"))}, want: binding.Unknown, reason: binding.NoInstance},
		{name: "no provider id, and two of that address", node: node(1, claims("")), fleet: []fleet.Instance{instance(1), instance(2, func(i *fleet.Instance) { i.PrivateIP = "10.0.0.1" })},
			want: binding.Unknown, reason: binding.Ambiguous},
		{name: "no provider id and a custom name", node: node(1, called("worker-1"), claims("")), fleet: []fleet.Instance{instance(1)}, want: binding.Unknown, reason: binding.NoInstance},
		{name: "another cloud", node: node(1, claims("gce:///x/y")), fleet: []fleet.Instance{instance(1)}, want: binding.Unknown, reason: binding.ForeignProvider},

		{name: "adopted", node: node(1, controlPlane), records: record, fleet: []fleet.Instance{instance(1, inVPC("vpc-2"))}, want: binding.Adopted, reason: binding.Recorded, id: id(1)},
		{name: "adopted, of another account", node: node(1), records: binding.Records{name(1): {UID: "uid-1", ProviderID: provider(1)}}, want: binding.Adopted, reason: binding.Recorded, id: id(1)},
		{name: "adopted, without an instance", node: node(1, called("rack-7"), claims("")), records: onPremises, want: binding.Adopted, reason: binding.Recorded},
		{name: "adopted, its instance is gone", node: node(1), records: record, fleet: []fleet.Instance{instance(1, gone)}, want: binding.Leaving, reason: binding.InstanceGone, id: id(1)},
		{name: "adopted, and EC2 has forgotten its instance", node: node(1), records: record, want: binding.Unknown, reason: binding.NoSuchInstance, id: id(1)},
		{name: "made again under an adopted name", node: node(1, called("rack-7"), claims(""), func(n *binding.Node) { n.UID = "uid-9" }), records: onPremises,
			want: binding.Impostor, reason: binding.OtherThanRecorded},
		{name: "an adopted node claims an instance later", node: node(1, called("rack-7"), claims(provider(2))), records: onPremises, fleet: []fleet.Instance{instance(2)},
			want: binding.Impostor, reason: binding.OtherThanRecorded, id: id(2)},
		{name: "made again, and facts bind it", node: node(1, func(n *binding.Node) { n.UID = "uid-9" }), records: record, fleet: []fleet.Instance{instance(1)},
			want: binding.Bound, reason: binding.FactsAgree, id: id(1)},
		{name: "facts bind it, and an adopted node is that instance", node: node(1), others: []binding.Node{node(7, called("old"), claims(provider(1)))},
			records: binding.Records{"old": {UID: "uid-7", ProviderID: provider(1), InEC2: true}}, fleet: []fleet.Instance{instance(1)},
			want: binding.Impostor, reason: binding.ClaimedTwice, id: id(1)},
		{name: "two adopted nodes of one instance", node: node(1, called("a")), others: []binding.Node{node(2, called("b"), claims(provider(1)))},
			records: binding.Records{"a": {UID: "uid-1", ProviderID: provider(1), InEC2: true}, "b": {UID: "uid-2", ProviderID: provider(1), InEC2: true}},
			fleet:   []fleet.Instance{instance(1)}, want: binding.Unknown, reason: binding.Ambiguous, id: id(1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := binding.Judge(append([]binding.Node{test.node}, test.others...), binding.Of(test.fleet), test.records, rules)[test.node.Name]
			if v.Standing != test.want || v.Reason != test.reason || v.Proven != test.proven || v.InstanceID != test.id {
				t.Errorf("got %s %s, proven %t, of %q: %s", v.Standing, v.Reason, v.Proven, v.InstanceID, v.Message)
			}
			if v.Message == "" {
				t.Error("no message")
			}
		})
	}
}

func TestJudgeKnowsWhatWasNotAsked(t *testing.T) {
	byName := node(2, claims(""))
	got := binding.Judge([]binding.Node{node(1), byName}, binding.Evidence{Asked: map[string]bool{}}, nil, rules)
	for _, v := range got {
		if v.Standing != binding.Unknown || v.Reason != binding.NotObserved {
			t.Errorf("got %s %s: expected Unknown NotObserved", v.Standing, v.Reason)
		}
	}
	q := binding.Ask([]binding.Node{node(1), node(1), byName, node(3, called("x"), claims(""))}, nil, rules)
	if !slices.Equal(q.IDs, []string{id(1)}) || !slices.Equal(q.IPs, []netip.Addr{netip.MustParseAddr("10.0.0.2")}) {
		t.Errorf("questions: %+v", q)
	}
}

func TestHostileTextIsQuotedAndClipped(t *testing.T) {
	text := "x\n\x1b[31m" + strings.Repeat("y", 1<<20)
	v := binding.Judge([]binding.Node{node(1, claims(text))}, binding.Of(nil), nil, rules)[name(1)]
	if len(v.Message) > 300 || strings.ContainsAny(v.Message, "\n\x1b") {
		t.Errorf("message of %d bytes: %.200q", len(v.Message), v.Message)
	}
}

// TestNoLieBindsANode has nodes say anything about themselves, and holds what comes
// out against the statement that the package makes: it shares no code with it.
func TestNoLieBindsANode(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 9))
		truth := drawInstances(r, "", "prod")
		found := slices.Collect(maps.Values(truth))
		var nodes []binding.Node
		for n := 1; n <= 6; n++ {
			lie := node(n)
			if r.IntN(3) == 0 {
				lie.ProviderID = []string{provider(1 + r.IntN(7)), "", "aws://us-west-2a/" + id(1+r.IntN(6)), "gce://x"}[r.IntN(4)]
			}
			if r.IntN(4) == 0 {
				lie.Addresses = [][]string{nil, {fmt.Sprintf("10.0.0.%d", 1+r.IntN(6))}, {"10.0.0.1", "10.9.9.9"}}[r.IntN(3)]
			}
			if r.IntN(6) == 0 {
				lie.Name = fmt.Sprintf("custom-%d", n)
			}
			nodes = append(nodes, lie)
		}
		got := binding.Judge(nodes, binding.Of(found), nil, rules)
		owner := map[string]string{}
		for _, n := range nodes {
			v := got[n.Name]
			if v.Standing != binding.Bound {
				continue
			}
			i, exists := truth[v.InstanceID]
			addressed := len(n.Addresses) > 0
			for _, a := range n.Addresses {
				addressed = addressed && slices.Contains(i.Addresses, netip.MustParseAddr(a))
			}
			computed := "ip-" + strings.ReplaceAll(i.PrivateIP, ".", "-") + ".us-west-2.compute.internal"
			if !exists || (i.State != "running" && i.State != "pending") || i.VPC != vpc || i.Cluster == "prod" || n.Name != computed || !addressed {
				t.Fatalf("seed %d: %+v is bound to %+v", seed, n, i)
			}
			if other, twice := owner[i.ID]; twice {
				t.Fatalf("seed %d: %s and %s are both %s", seed, n.Name, other, i.ID)
			}
			owner[i.ID] = n.Name
		}
		// An honest Node of a living instance is bound whatever the others say.
		for n := 1; n <= 6; n++ {
			i, exists := truth[id(n)]
			if exists && reflect.DeepEqual(i, instance(n)) && reflect.DeepEqual(nodes[n-1], node(n)) && got[name(n)].Standing != binding.Bound {
				t.Fatalf("seed %d: honest node %d is %s: %s", seed, n, got[name(n)].Standing, got[name(n)].Message)
			}
		}
		r.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		if again := binding.Judge(nodes, binding.Of(found), nil, rules); !maps.EqualFunc(got, again, func(a, b binding.Verdict) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("seed %d: the order of nodes changes the answer", seed)
		}
	}
}
