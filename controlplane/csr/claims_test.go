package csr_test

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
)

func ips(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// claims is a Node with the requested name: what it says, what EC2 says about the
// instances that it may be, and what an operator recorded.
type claims struct {
	node    corev1.Node
	facts   *csr.Facts
	known   []fleet.Instance // beyond the candidates of Facts
	unasked bool             // EC2 was asked about none
	records binding.Records
}

// own changes the instance that the Node is by its name. Its pointer is to a copy:
// what the candidates of Facts are stays.
func (c *claims) own() *fleet.Instance {
	if len(c.known) == 0 {
		_, f := honest()
		if len(c.facts.Candidates) > 0 {
			f = *c.facts
		}
		c.known = append(c.known, f.Candidates[0])
	}
	return &c.known[0]
}

// node is the Node of the instance as the API server has it, changed.
func node(changes ...func(*claims)) change {
	return func(r *csr.Request, f *csr.Facts) {
		c := claims{facts: f, records: binding.Records{}}
		c.node.Name, c.node.UID, c.node.Labels = r.Node, "n1", map[string]string{}
		providerID("aws:///us-west-2a/" + instanceID)(&c)
		internalIPs("10.99.0.12")(&c)
		for _, change := range changes {
			change(&c)
		}
		e := binding.Of(append(f.Candidates[:len(f.Candidates):len(f.Candidates)], c.known...))
		if c.unasked {
			e = binding.Evidence{Asked: map[string]bool{}}
		}
		v := binding.Judge([]binding.Node{binder.NodeOf(&c.node)}, e, c.records, policy.Rules())[r.Node]
		f.Node = csr.NodeOf(&c.node, v, c.records)
	}
}

func providerID(text string) func(*claims) {
	return func(c *claims) { c.node.Spec.ProviderID = text }
}

func internalIPs(texts ...string) func(*claims) {
	return func(c *claims) {
		c.node.Status.Addresses = nil
		for _, text := range texts {
			c.node.Status.Addresses = append(c.node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: text})
		}
	}
}

func isReady(c *claims) {
	c.node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
}

func isAdmitted(c *claims) { c.node.Labels[binding.AdmittedLabel] = string(c.node.UID) }

func controlPlane(c *claims) { c.node.Labels["node-role.kubernetes.io/control-plane"] = "" }

// isAdopted records the Node as it is, with a name and an address to serve under.
func isAdopted(c *claims) {
	c.records[c.node.Name] = binding.Record{
		UID: string(c.node.UID), ProviderID: c.node.Spec.ProviderID, InEC2: true,
		Addresses: []string{"worker.example", "192.0.2.7"},
	}
}

func notInEC2(c *claims) {
	r := c.records[c.node.Name]
	r.InEC2 = false
	c.records[c.node.Name] = r
}

// madeAgain gives the Node another UID than what was recorded and labelled.
func madeAgain(c *claims) { c.node.UID = "n2" }

func unasked(c *claims) { c.unasked = true }

// of has the Node claim another instance; EC2 does not know one without a state.
func of(id, state string) func(*claims) {
	return func(c *claims) {
		c.node.Spec.ProviderID = "aws:///us-west-2a/" + id
		if state != "" {
			c.known = append(c.known, fleet.Instance{ID: id, State: state, VPC: "vpc-1", PrivateIP: "10.99.0.77", Zone: "us-west-2a"})
		}
	}
}

// shownAs changes what EC2 says about the Node's own instance.
func shownAs(set func(*fleet.Instance)) func(*claims) {
	return func(c *claims) { set(c.own()) }
}

// unknownToEC2 has the Node claim an instance that EC2 does not know.
func unknownToEC2(c *claims) { of(goneID, "")(c) }

// old is an instance that was launched two days ago.
func old(_ *csr.Request, f *csr.Facts) {
	f.Candidates[0].LaunchTime = launch.Add(-48 * time.Hour)
}

// rejoins is a launch that joined, and joined again at those times.
func rejoins(at ...time.Time) change {
	return grant(csr.Grant{Launch: launch, Node: nodeName, Keys: []string{"k0"}, Joined: true, Rejoins: at})
}
