package awssim

import (
	"time"
)

// visibleLocked returns the instances that Describe calls show, in launch
// order: those named, or all that pass the filters.
func (w *World) visibleLocked(req *request) ([]*instance, error) {
	candidates, err := w.namedInstancesLocked(req)
	if err != nil {
		return nil, err
	}
	if len(req.form.strs("InstanceId")) == 0 {
		for _, id := range w.order {
			i := w.instances[id]
			if !w.lateLocked(i, func(f Fault) time.Duration { return f.LateDescribe }) {
				candidates = append(candidates, i)
			}
		}
	}
	filters := req.form.filters()
	var out []*instance
	for _, i := range candidates {
		ok, err := matchFilters(filters, i.filterValue)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i)
		}
	}
	return out, nil
}

func (w *World) describeInstances(req *request) (any, error) {
	w.forgetLocked()
	size, err := pageSize(req, "InstanceId", 5, 1000)
	if err != nil {
		return nil, err
	}
	all, err := w.visibleLocked(req)
	if err != nil {
		return nil, err
	}
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{
		elList("reservationSet", "item", part, func(i *instance) any {
			return []node{
				el("reservationId", i.reservID),
				el("ownerId", w.AccountID),
				elList("groupSet", "item", nil, func(string) any { return nil }),
				elList("instancesSet", "item", []*instance{i}, func(i *instance) any { return w.instanceNodes(i) }),
			}
		}),
		el("nextToken", next),
	}, nil
}

func stateNodes(s State) []node {
	return []node{el("code", s.code()), el("name", string(s))}
}

func (w *World) securityGroupNodes(groups []string) node {
	return elList("groupSet", "item", groups, func(id string) any {
		return []node{el("groupId", id), el("groupName", w.groupName(id))}
	})
}

// instanceNodes writes one instance. What it had in the network is gone once it
// is terminated, as in EC2.
func (w *World) instanceNodes(i *instance) []node {
	n := []node{
		el("instanceId", i.ID),
		el("imageId", i.ImageID),
		el("instanceState", stateNodes(i.State)),
		elText("privateDnsName", i.visible(i.PrivateDNSName)),
		elText("dnsName", ""),
		elText("reason", i.StateReason),
		el("keyName", i.KeyName),
		el("amiLaunchIndex", 0),
		el("instanceType", i.Type),
		el("launchTime", i.LaunchTime),
		el("placement", []node{el("availabilityZone", i.Zone), el("availabilityZoneId", i.ZoneID), elText("groupName", ""), el("tenancy", "default")}),
		el("monitoring", []node{el("state", "disabled")}),
		el("subnetId", i.visible(i.SubnetID)),
		el("vpcId", i.visible(i.VPCID)),
		el("privateIpAddress", i.visible(i.PrivateIP)),
		el("architecture", i.Architecture),
		el("rootDeviceType", "ebs"),
		el("rootDeviceName", i.rootDevice),
		el("virtualizationType", "hvm"),
		el("hypervisor", "xen"),
		el("enaSupport", true),
		el("ebsOptimized", false),
		el("platformDetails", "Linux/UNIX"),
		el("sourceDestCheck", true),
		w.securityGroupNodes(i.SecurityGroups),
		tagNodes("tagSet", i.Tags), i.volumeNodes(),
		el("metadataOptions", []node{
			el("state", "applied"), el("httpTokens", i.HTTPTokens), el("httpPutResponseHopLimit", i.HopLimit),
			el("httpEndpoint", i.HTTPEndpoint), el("httpProtocolIpv6", "disabled"), el("instanceMetadataTags", i.InstanceMetadataTags),
		}),
	}
	if i.StateReason != "" {
		code := stateReasonCode(i.StateReason)
		n = append(n, el("stateReason", []node{el("code", code), el("message", i.StateReason)}))
	}
	if i.Role != "" {
		n = append(n, el("iamInstanceProfile", []node{el("arn", w.profileARN(i.Role)), el("id", "AIPA"+roleID(i.Role)[4:])}))
	}
	if i.State != Terminated {
		if ips := i.ipv6(); len(ips) > 0 {
			n = append(n, el("ipv6Address", ips[0]))
		}
		n = append(n, elList("networkInterfaceSet", "item", i.Interfaces, func(e NetworkInterface) any { return w.interfaceNodes(i, e) }))
	}
	return n
}

func (i *instance) visible(s string) string {
	if i.State == Terminated {
		return ""
	}
	return s
}

// describeInstanceStatus shows running instances, or all when asked to.
func (w *World) describeInstanceStatus(req *request) (any, error) {
	size, err := pageSize(req, "InstanceId", 5, 1000)
	if err != nil {
		return nil, err
	}
	all, err := w.visibleLocked(req)
	if err != nil {
		return nil, err
	}
	var shown []*instance
	for _, i := range all {
		if i.State == Running || req.form.str("IncludeAllInstances") == "true" {
			shown = append(shown, i)
		}
	}
	part, next, ok := page(shown, req.form.str("NextToken"), size)
	if !ok {
		return nil, badToken()
	}
	return []node{
		elList("instanceStatusSet", "item", part, func(i *instance) any {
			status := "not-applicable"
			if i.State == Running {
				status = "ok"
			}
			return []node{
				el("instanceId", i.ID), el("availabilityZone", i.Zone), el("instanceState", stateNodes(i.State)),
				el("instanceStatus", []node{el("status", status)}), el("systemStatus", []node{el("status", status)}),
				elList("eventsSet", "item", i.maintenance, func(e MaintenanceEvent) any {
					return []node{el("instanceEventId", e.EventID), el("code", e.Code), el("description", e.Description), el("notBefore", e.NotBefore), el("notAfter", e.NotAfter)}
				}),
			}
		}),
		el("nextToken", next),
	}, nil
}
