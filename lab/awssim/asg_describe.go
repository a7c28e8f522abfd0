package awssim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

func (w *World) groupARN(name string) string {
	id := hexSum([]byte(name))
	return w.arn("autoscaling", "autoScalingGroup:"+id[:8]+"-"+id[8:12]+"-"+id[12:16]+"-"+id[16:20]+"-"+id[20:32]+":autoScalingGroupName/"+name)
}

// matchTags applies AutoScaling's tag filters, which take no wildcards. All of
// a group's filters must pass.
func (g *group) matchTags(filters []filter) (bool, error) {
	for _, f := range filters {
		key, byKey := strings.CutPrefix(f.name, "tag:")
		if !byKey && f.name != "tag-key" && f.name != "tag-value" {
			return false, fail("ValidationError", "Filter type %s is not correct. Allowed Filter types are: tag-key, tag-value, tag:<tag-key>", f.name)
		}
		hit := slices.ContainsFunc(g.tags, func(t Tag) bool {
			switch {
			case byKey:
				return t.Key == key && slices.Contains(f.values, t.Value)
			case f.name == "tag-key":
				return slices.Contains(f.values, t.Key)
			default:
				return slices.Contains(f.values, t.Value)
			}
		})
		if !hit {
			return false, nil
		}
	}
	return true, nil
}

func (w *World) describeGroups(req *request) (any, error) {
	size, err := recordSize(req, 50, 100)
	if err != nil {
		return nil, err
	}
	names, filters := req.form.strs("AutoScalingGroupNames.member"), req.form.filters()
	var all []*group
	for _, name := range slices.Sorted(maps.Keys(w.groups)) {
		g := w.groups[name]
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		ok, err := g.matchTags(filters)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, g)
		}
	}
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	members := req.form.str("IncludeInstances") != "false"
	return []node{
		elList("AutoScalingGroups", "member", part, func(g *group) any { return w.groupNodes(g, members) }),
		el("NextToken", next),
	}, nil
}

func (w *World) groupNodes(g *group, members bool) []node {
	var subnets []string
	for _, z := range g.zones {
		s, _ := w.subnetOf(z)
		subnets = append(subnets, s.id)
	}
	n := []node{
		el("AutoScalingGroupName", g.name), el("AutoScalingGroupARN", w.groupARN(g.name)),
		el("MinSize", g.min), el("MaxSize", g.max), el("DesiredCapacity", g.desired), el("DefaultCooldown", g.cooldown),
		elList("AvailabilityZones", "member", g.zones, func(z string) any { return z }),
		el("VPCZoneIdentifier", strings.Join(subnets, ",")), el("HealthCheckType", "EC2"), el("HealthCheckGracePeriod", g.grace),
		el("CreatedTime", g.created), el("NewInstancesProtectedFromScaleIn", g.protectNew), el("CapacityRebalance", false),
		elList("TerminationPolicies", "member", []string{"Default"}, func(p string) any { return p }),
		elList("SuspendedProcesses", "member", g.suspended, func(p string) any {
			return []node{el("ProcessName", p), el("SuspensionReason", "User suspended")}
		}),
		elList("Tags", "member", g.tags, func(t Tag) any { return tagDescription(g, t) }),
		el("LoadBalancerNames", []node{}), el("TargetGroupARNs", []node{}), el("EnabledMetrics", []node{}),
		el("ServiceLinkedRoleARN", w.globalARN("iam", "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling")),
	}
	if g.template != nil {
		n = append(n, el("LaunchTemplate", []node{
			el("LaunchTemplateId", g.template.id), el("LaunchTemplateName", g.template.name), el("Version", g.version),
		}))
	} else {
		n = append(n, el("LaunchConfigurationName", g.name))
	}
	if g.pool != nil {
		n = append(n, el("WarmPoolSize", g.warmCount()), g.pool.node())
	}
	if g.deleting {
		n = append(n, el("Status", "Delete in progress"))
	}
	if members {
		own := slices.DeleteFunc(slices.Clone(g.members), (*member).warm)
		n = append(n, elList("Instances", "member", own, func(m *member) any { return memberNodes(g, m, "Healthy", "Unhealthy") }))
	}
	return n
}

// memberNodes writes a member with the template version that it was really
// launched from.
func memberNodes(g *group, m *member, healthy, unhealthy string) []node {
	i := m.inst
	health := healthy
	if m.unhealthy {
		health = unhealthy
	}
	n := []node{
		el("InstanceId", i.ID), el("InstanceType", i.Type), el("AvailabilityZone", i.Zone), el("LifecycleState", m.lifecycle),
		el("HealthStatus", health), el("ProtectedFromScaleIn", m.protected),
	}
	if i.LaunchTemplateID != "" {
		return append(n, el("LaunchTemplate", []node{
			el("LaunchTemplateId", i.LaunchTemplateID), el("LaunchTemplateName", i.LaunchTemplateName),
			el("Version", strconv.FormatInt(i.LaunchTemplateVersion, 10)),
		}))
	}
	return append(n, el("LaunchConfigurationName", g.name))
}

func (w *World) describeMembers(req *request) (any, error) {
	size, err := recordSize(req, 50, 50)
	if err != nil {
		return nil, err
	}
	ids := req.form.strs("InstanceIds.member")
	if len(ids) > 50 {
		return nil, fail("ValidationError", "The number of instance ids must not be greater than 50")
	}
	type row struct {
		g *group
		m *member
	}
	var all []row
	for _, id := range w.order {
		if len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		if g, m := w.memberByIDLocked(id); m != nil {
			all = append(all, row{g, m})
		}
	}
	part, next, ok := page(all, req.form.str("NextToken"), size)
	if !ok {
		return nil, badGroupToken()
	}
	return []node{
		elList("AutoScalingInstances", "member", part, func(r row) any {
			return append(memberNodes(r.g, r.m, "HEALTHY", "UNHEALTHY"), el("AutoScalingGroupName", r.g.name))
		}),
		el("NextToken", next),
	}, nil
}
