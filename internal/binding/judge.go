package binding

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/quote"
)

// Judge returns how every Node stands, by name. All Nodes of the cluster have to be
// given: whether one is an instance depends on who else claims it. The order of
// nodes changes nothing.
func Judge(nodes []Node, e Evidence, records Records, rules Rules) map[string]Verdict {
	out := make(map[string]Verdict, len(nodes))
	owners := map[string][]string{} // instance id -> Nodes that may count as it
	for _, n := range nodes {
		v := judge(n, e, records, rules)
		out[n.Name] = v
		if v.Counts() {
			owners[v.InstanceID] = append(owners[v.InstanceID], n.Name)
		}
	}
	for _, names := range owners {
		settle(names, out)
	}
	for _, n := range nodes {
		v := out[n.Name]
		if owner := ownerOf(owners[v.InstanceID], n.Name, out); owner != "" && v.Standing == Impostor {
			v.Reason = ClaimedTwice
			// Of two Nodes of one instance, an operator's record does not say which
			// is the older story: only facts prove the lie, of its name or of the other.
			v.Proven = (v.Proven || out[owner].Standing == Bound) && !n.ControlPlane
			v.Message = fmt.Sprintf("node %s claims instance %s, which is node %s: %s", quote.Text(n.Name), v.InstanceID, quote.Text(owner), v.Message)
			out[n.Name] = v
		}
	}
	return out
}

// settle leaves one Node for an instance that several may count as. Names follow
// from facts, so at most one is Bound; an operator's record is older than a Node
// that came later, and two records of one instance prove neither.
func settle(names []string, out map[string]Verdict) {
	adopted := 0
	for _, name := range names {
		if out[name].Standing == Adopted {
			adopted++
		}
	}
	if adopted == 0 {
		return
	}
	for _, name := range names {
		v := out[name]
		switch {
		case v.Standing == Bound:
			v.Standing, v.Reason = Impostor, ClaimedTwice
			v.Message = "an adopted node is instance " + v.InstanceID
		case adopted > 1:
			v.Standing, v.Reason = Unknown, Ambiguous
			v.Message = fmt.Sprintf("%d adopted nodes claim instance %s", adopted, v.InstanceID)
		}
		out[name] = v
	}
}

// ownerOf returns the other Node that counts as the instance; empty for none.
func ownerOf(names []string, self string, out map[string]Verdict) string {
	for _, name := range names {
		if name != self && out[name].Counts() {
			return name
		}
	}
	return ""
}

// judge judges a Node by itself.
func judge(n Node, e Evidence, records Records, rules Rules) Verdict {
	rec, recorded := records[n.Name]
	if recorded && rec.Matches(n) {
		return adopted(n, rec, e)
	}
	v := byFacts(n, e, records, rules)
	if recorded && v.Standing != Bound {
		v.Standing, v.Reason, v.Proven = Impostor, OtherThanRecorded, false
		v.Message = fmt.Sprintf("adopted with UID %s and provider id %s: it has UID %s and provider id %s",
			quote.Text(rec.UID), quote.Text(rec.ProviderID), quote.Text(n.UID), quote.Text(n.ProviderID))
	}
	return v
}

// adopted judges a Node that is still as it was recorded.
func adopted(n Node, rec Record, e Evidence) Verdict {
	v := Verdict{Standing: Adopted, Reason: Recorded, Message: "adopted by an operator"}
	id := rec.Instance()
	if id == "" {
		return v
	}
	v.InstanceID = id
	i, shown := e.Instances[id]
	switch {
	case shown:
		v.Instance = &i
		if gone, left := leaving(i); left {
			return gone
		}
	case !rec.InEC2:
	case e.asked(id):
		v.Standing, v.Reason, v.Message = Unknown, NoSuchInstance, "EC2 no longer knows instance "+id
	default:
		v.Standing, v.Reason, v.Message = Unknown, NotObserved, "EC2 did not say anything about instance "+id
	}
	return v
}

// byFacts judges a Node by what EC2 says about the instance that it claims.
func byFacts(n Node, e Evidence, records Records, rules Rules) Verdict {
	c := claimOf(n, records, rules)
	switch {
	case c.foreign:
		return unknown(c.id, ForeignProvider, "provider id %s is not one of AWS", quote.Text(n.ProviderID))
	case c.ip.IsValid():
		return byAddress(n, c, e, rules)
	case c.id == "":
		return unknown("", NoInstance, "it has no provider id, and no instance has its name")
	}
	i, shown := e.Instances[c.id]
	switch {
	case !shown && e.asked(c.id):
		return unknown(c.id, NoSuchInstance, "EC2 does not know instance %s", c.id)
	case !shown:
		return unknown(c.id, NotObserved, "EC2 did not say anything about instance %s", c.id)
	}
	return compare(n, i, c.named, rules)
}

// byAddress judges a Node that has no provider id, by the address in its name.
func byAddress(n Node, c claim, e Evidence, rules Rules) Verdict {
	if !e.asked(c.ip.String()) {
		return unknown("", NotObserved, "EC2 did not say anything about address %s", c.ip)
	}
	var found []fleet.Instance
	for _, i := range e.Instances {
		if i.PrivateIP == c.ip.String() && i.VPC == rules.VPC && !i.Going() {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 0:
		return unknown("", NoInstance, "it has no provider id, and no instance of VPC %s has address %s", rules.VPC, c.ip)
	case 1:
		return compare(n, found[0], true, rules)
	}
	return unknown("", Ambiguous, "%d instances of VPC %s have address %s", len(found), rules.VPC, c.ip)
}

// compare holds a Node against the instance that it claims.
func compare(n Node, i fleet.Instance, named bool, rules Rules) Verdict {
	if v, left := leaving(i); left {
		return v
	}
	name, err := i.NodeName(rules.Region, rules.Mode)
	switch {
	case i.Cluster != "" && i.Cluster != rules.Cluster:
		return impostor(i, OtherCluster, false, "instance %s is tagged for cluster %s", i.ID, quote.Text(i.Cluster))
	case err != nil:
		return unknown(i.ID, NotObserved, "instance %s has no name yet: %v", i.ID, err)
	case name != n.Name:
		// A name of an instance's form says which instance it is: not this one.
		return impostor(i, OtherName, named && !n.ControlPlane, "the node of instance %s is called %s", i.ID, name)
	case len(n.Addresses) == 0:
		return unknown(i.ID, NoAddress, "it has no internal address yet")
	}
	if foreign := foreignAddresses(n.Addresses, i); len(foreign) > 0 {
		return impostor(i, OtherAddress, false, "internal address %s is not one of instance %s", foreign[0], i.ID)
	}
	if i.VPC != rules.VPC {
		return unknown(i.ID, OtherVPC, "instance %s is in VPC %s: expected %s", i.ID, i.VPC, rules.VPC)
	}
	return Verdict{Standing: Bound, Reason: FactsAgree, Message: "it is instance " + i.ID, InstanceID: i.ID, Instance: &i}
}

// foreignAddresses are the addresses that are not the instance's. Its primary
// private address has to be among them: that is what its name says.
func foreignAddresses(addresses []string, i fleet.Instance) []string {
	var foreign []string
	primary := false
	for _, text := range addresses {
		a, err := netip.ParseAddr(text)
		if err != nil || !slices.Contains(i.Addresses, a) {
			foreign = append(foreign, quote.Text(text))
			continue
		}
		primary = primary || text == i.PrivateIP
	}
	if len(foreign) == 0 && !primary {
		foreign = append(foreign, quote.Text(strings.Join(addresses, ", ")))
	}
	return foreign
}

func leaving(i fleet.Instance) (Verdict, bool) {
	v := Verdict{Standing: Leaving, Reason: InstanceGone, Message: "instance " + i.ID + " is " + i.State, InstanceID: i.ID, Instance: &i}
	if !i.Going() {
		v.Reason = InstanceStopped
	}
	return v, !i.Alive()
}

func impostor(i fleet.Instance, r Reason, proven bool, format string, args ...any) Verdict {
	return Verdict{Standing: Impostor, Reason: r, Proven: proven, Message: fmt.Sprintf(format, args...), InstanceID: i.ID, Instance: &i}
}

func unknown(id string, r Reason, format string, args ...any) Verdict {
	return Verdict{Standing: Unknown, Reason: r, Message: fmt.Sprintf(format, args...), InstanceID: id}
}
