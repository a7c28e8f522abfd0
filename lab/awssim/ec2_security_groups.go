package awssim

import (
	"net/netip"
	"slices"
	"strings"
)

// securityGroup is a group of the world's VPC. The network of the lab does not enforce
// its rules.
type securityGroup struct {
	id, name, description string
	ingress               []rule
	tags                  map[string]string
}

// rule lets a range of addresses in.
type rule struct {
	id, protocol, from, to string
	cidr                   string
	six                    bool // an IPv6 range
	description            string
}

// same reports that two rules let the same in.
func (r rule) same(o rule) bool {
	return r.protocol == o.protocol && r.from == o.from && r.to == o.to && r.cidr == o.cidr
}

// defaultGroupLocked is the group of instances that are launched with none.
func (w *World) defaultGroupLocked() *securityGroup {
	for _, g := range w.securityGroups {
		if g.name == "default" {
			return g
		}
	}
	g := &securityGroup{id: w.idLocked("sg-"), name: "default", description: "default VPC security group", tags: map[string]string{}}
	w.securityGroups[g.id] = g
	return g
}

func unknownGroup(id string) error {
	return fail("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

func (w *World) createSecurityGroup(req *request) (any, error) {
	w.defaultGroupLocked()
	name, vpc := req.form.str("GroupName"), req.form.str("VpcId")
	tags, err := readTagSpecifications(req.form, "security-group")
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return nil, missing("ec2", "GroupName")
	case req.form.str("GroupDescription") == "":
		return nil, missing("ec2", "GroupDescription")
	case len(name) > 255 || strings.HasPrefix(name, "sg-"):
		return nil, fail("InvalidParameterValue", "Value (%s) for parameter GroupName is invalid. A group name has up to 255 characters and does not begin with 'sg-'.", name)
	case vpc == "":
		return nil, noDefaultVPC()
	case vpc != w.VPCID:
		return nil, unknownVPC(vpc)
	}
	for _, g := range w.securityGroups {
		if g.name == name {
			return nil, fail("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", name, vpc)
		}
	}
	g := &securityGroup{id: w.idLocked("sg-"), name: name, description: req.form.str("GroupDescription"), tags: tags["security-group"]}
	if g.tags == nil {
		g.tags = map[string]string{}
	}
	w.securityGroups[g.id] = g
	return []node{el("return", true), el("groupId", g.id), el("securityGroupArn", w.arn("ec2", "security-group/"+g.id)), tagNodes("tagSet", g.tags)}, nil
}

func (w *World) describeSecurityGroups(req *request) (any, error) {
	w.defaultGroupLocked()
	return describe(req, "GroupId", "securityGroupInfo", w.securityGroups, unknownGroup, func(g *securityGroup, name string) ([]string, bool) {
		v, known := map[string]string{"group-id": g.id, "group-name": g.name, "vpc-id": w.VPCID, "description": g.description, "owner-id": w.AccountID}[name]
		if known {
			return []string{v}, true
		}
		return tagFilter(name, g.tags)
	}, func(g *securityGroup) []node {
		out := rule{protocol: "-1", cidr: "0.0.0.0/0"}
		return []node{
			el("groupId", g.id), el("groupName", g.name), elText("groupDescription", g.description), el("ownerId", w.AccountID), el("vpcId", w.VPCID),
			elList("ipPermissions", "item", g.ingress, func(r rule) any { return r.nodes() }),
			elList("ipPermissionsEgress", "item", []rule{out}, func(r rule) any { return r.nodes() }), tagNodes("tagSet", g.tags),
		}
	})
}

func (r rule) nodes() []node {
	list, member := "ipRanges", "cidrIp"
	if r.six {
		list, member = "ipv6Ranges", "cidrIpv6"
	}
	return []node{el("ipProtocol", r.protocol), el("fromPort", r.from), el("toPort", r.to),
		elList(list, "item", []rule{r}, func(r rule) any { return []node{el(member, r.cidr), el("description", r.description)} })}
}

func (w *World) authorizeIngress(req *request) (any, error) {
	g := w.securityGroups[req.form.str("GroupId")]
	if g == nil {
		return nil, unknownGroup(req.form.str("GroupId"))
	}
	rules, err := readRules(req.form)
	if err != nil {
		return nil, err
	}
	for n, r := range rules {
		if slices.ContainsFunc(slices.Concat(g.ingress, rules[:n]), r.same) {
			return nil, fail("InvalidPermission.Duplicate", `the specified rule "peer: %s, %s, from port: %s, to port: %s, ALLOW" already exists`, r.cidr, strings.ToUpper(r.protocol), r.from, r.to)
		}
		rules[n].id = w.idLocked("sgr-")
	}
	g.ingress = append(g.ingress, rules...)
	return []node{el("return", true), elList("securityGroupRuleSet", "item", rules, func(r rule) any {
		member := map[bool]string{true: "cidrIpv6", false: "cidrIpv4"}[r.six]
		return []node{el("securityGroupRuleId", r.id), el("groupId", g.id), el("groupOwnerId", w.AccountID), el("isEgress", false),
			el("ipProtocol", r.protocol), el("fromPort", r.from), el("toPort", r.to), el(member, r.cidr)}
	})}, nil
}

// readRules reads IpPermissions.N, of which ranges of addresses are simulated.
func readRules(f form) ([]rule, error) {
	var out []rule
	for _, p := range f.list("IpPermissions") {
		for _, name := range p.topLevel() {
			if !hasWord("IpProtocol FromPort ToPort IpRanges Ipv6Ranges", name) {
				return nil, notSimulated("ec2", "security group rule", name)
			}
		}
		r := rule{protocol: p.str("IpProtocol"), from: p.str("FromPort"), to: p.str("ToPort")}
		for _, kind := range []struct {
			list, member string
			six          bool
		}{{"IpRanges", "CidrIp", false}, {"Ipv6Ranges", "CidrIpv6", true}} {
			for _, e := range p.list(kind.list) {
				r.cidr, r.six, r.description = e.str(kind.member), kind.six, e.str("Description")
				if a, err := netip.ParsePrefix(r.cidr); err != nil || a.Addr().Is6() != kind.six {
					return nil, fail("InvalidParameterValue", "CIDR block %s is malformed", r.cidr)
				}
				out = append(out, r)
			}
		}
	}
	if len(out) == 0 {
		return nil, missing("ec2", "ipPermissions")
	}
	return out, nil
}

// deleteSecurityGroup refuses while an instance that is not terminated is in the group.
func (w *World) deleteSecurityGroup(req *request) (any, error) {
	id := req.form.str("GroupId")
	g := w.securityGroups[id]
	switch {
	case g == nil:
		return nil, unknownGroup(id)
	case g.name == "default":
		return nil, fail("CannotDelete", `the specified group: "%s" name: "default" cannot be deleted by a user`, id)
	}
	for _, i := range w.instances {
		if i.State != Terminated && slices.Contains(i.SecurityGroups, id) {
			return nil, fail("DependencyViolation", "resource %s has a dependent object", id)
		}
	}
	delete(w.securityGroups, id)
	return []node{el("return", true), el("groupId", id)}, nil
}

// groupName is what an instance's answer calls a group; one that only a test's set-up
// named has no other name.
func (w *World) groupName(id string) string {
	if g := w.securityGroups[id]; g != nil {
		return g.name
	}
	return id
}

func noDefaultVPC() error {
	return fail("VPCIdNotSpecified", "No default VPC for this user")
}

func unknownVPC(id string) error {
	return fail("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", id)
}

// describeVPCs shows the world's one VPC, which is not a default VPC.
func (w *World) describeVPCs(req *request) (any, error) {
	tags := w.tags[w.VPCID]
	return describe(req, "VpcId", "vpcSet", map[string]string{w.VPCID: w.CIDR}, unknownVPC, func(_, name string) ([]string, bool) {
		v, known := map[string]string{"vpc-id": w.VPCID, "cidr": w.CIDR, "state": "available", "is-default": "false", "isDefault": "false", "owner-id": w.AccountID}[name]
		if known {
			return []string{v}, true
		}
		return tagFilter(name, tags)
	}, func(cidr string) []node {
		return []node{el("vpcId", w.VPCID), el("state", "available"), el("cidrBlock", cidr), el("isDefault", false), el("ownerId", w.AccountID),
			el("instanceTenancy", "default"), tagNodes("tagSet", tags)}
	})
}
