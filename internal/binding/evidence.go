package binding

import (
	"net/netip"

	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/identity"
)

// Evidence is what EC2 said, and what it was asked.
type Evidence struct {
	// Instances that EC2 showed, by id, of any VPC and state.
	Instances map[string]fleet.Instance
	// Asked are the ids and primary private addresses that EC2 was asked about: one
	// that is asked for and not shown does not exist, or not yet. Nil means that
	// EC2 was asked about everything.
	Asked map[string]bool
}

// Of returns the evidence of an answer that is complete: EC2 was asked about
// every instance there is.
func Of(found []fleet.Instance) Evidence {
	e := Evidence{Instances: make(map[string]fleet.Instance, len(found))}
	for _, i := range found {
		e.Instances[i.ID] = i
	}
	return e
}

func (e Evidence) asked(key string) bool { return e.Asked == nil || e.Asked[key] }

// Questions are what EC2 has to be asked to judge Nodes: instance ids, and primary
// private addresses of Nodes without a provider id whose name gives one.
type Questions struct {
	IDs []string
	IPs []netip.Addr
}

// Ask returns what EC2 has to be asked to judge the nodes.
func Ask(nodes []Node, records Records, rules Rules) Questions {
	var q Questions
	ids, ips := map[string]bool{}, map[netip.Addr]bool{}
	for _, n := range nodes {
		c := claimOf(n, records, rules)
		if c.id != "" && !ids[c.id] {
			ids[c.id] = true
			q.IDs = append(q.IDs, c.id)
		}
		if c.ip.IsValid() && !ips[c.ip] {
			ips[c.ip] = true
			q.IPs = append(q.IPs, c.ip)
		}
	}
	return q
}

// claim is the instance that a Node claims to be: by its provider id, or by its
// name when it has none.
type claim struct {
	id      string
	ip      netip.Addr // of a name in the mode ip-name, without a provider id
	foreign bool       // a provider id that is not one of AWS
	named   bool       // the Node's name has the form of an instance's
}

func claimOf(n Node, records Records, rules Rules) claim {
	if r, ok := records[n.Name]; ok && r.UID == n.UID && n.ProviderID == "" && r.ProviderID == "" {
		return claim{id: r.InstanceID} // adopted by its name, or as a Node without an instance
	}
	look, named := identity.LookupFor(n.Name, rules.Region, rules.Mode)
	c := claim{named: named}
	if n.ProviderID != "" {
		id, ok := fleet.FromProviderID(n.ProviderID)
		c.id, c.foreign = id, !ok
		return c
	}
	if named {
		c.id, c.ip = look.InstanceID, look.PrivateIP
	}
	return c
}
