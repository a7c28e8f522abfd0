package awssim

import (
	"slices"
	"strings"
)

func asgActions() map[string]action {
	const sizes = "AutoScalingGroupName MinSize MaxSize DesiredCapacity LaunchTemplate VPCZoneIdentifier AvailabilityZones NewInstancesProtectedFromScaleIn DefaultCooldown HealthCheckType HealthCheckGracePeriod "
	const hook = "AutoScalingGroupName LifecycleHookName InstanceId LifecycleActionToken "
	return map[string]action{
		"CreateAutoScalingGroup":              {(*World).createGroup, sizes + "Tags"},
		"UpdateAutoScalingGroup":              {(*World).updateGroup, sizes},
		"DeleteAutoScalingGroup":              {(*World).deleteGroup, "AutoScalingGroupName ForceDelete"},
		"DescribeAutoScalingGroups":           {(*World).describeGroups, "AutoScalingGroupNames Filters MaxRecords NextToken IncludeInstances"},
		"DescribeAutoScalingInstances":        {(*World).describeMembers, "InstanceIds MaxRecords NextToken"},
		"SetDesiredCapacity":                  {(*World).setDesired, "AutoScalingGroupName DesiredCapacity HonorCooldown"},
		"TerminateInstanceInAutoScalingGroup": {(*World).terminateMember, "InstanceId ShouldDecrementDesiredCapacity"},
		"SetInstanceProtection":               {(*World).setProtection, "AutoScalingGroupName InstanceIds ProtectedFromScaleIn"},
		"CreateOrUpdateTags":                  {(*World).putGroupTags, "Tags"},
		"DeleteTags":                          {(*World).deleteGroupTags, "Tags"},
		"DescribeTags":                        {(*World).describeGroupTags, "Filters MaxRecords NextToken"},
		"PutLifecycleHook":                    {(*World).putHook, "AutoScalingGroupName LifecycleHookName LifecycleTransition HeartbeatTimeout DefaultResult NotificationMetadata NotificationTargetARN RoleARN"},
		"DescribeLifecycleHooks":              {(*World).describeHooks, "AutoScalingGroupName LifecycleHookNames"},
		"DeleteLifecycleHook":                 {(*World).deleteHook, "AutoScalingGroupName LifecycleHookName"},
		"CompleteLifecycleAction":             {(*World).completeAction, hook + "LifecycleActionResult"},
		"RecordLifecycleActionHeartbeat":      {(*World).recordHeartbeat, hook},
		"DescribeScalingActivities":           {(*World).describeActivities, "ActivityIds AutoScalingGroupName MaxRecords NextToken IncludeDeletedGroups"},
		"PutWarmPool":                         {(*World).putPool, "AutoScalingGroupName MinSize MaxGroupPreparedCapacity PoolState InstanceReusePolicy"},
		"DescribeWarmPool":                    {(*World).describePool, "AutoScalingGroupName MaxRecords NextToken"},
		"DeleteWarmPool":                      {(*World).deletePool, "AutoScalingGroupName ForceDelete"},
		"SuspendProcesses":                    {(*World).suspend, "AutoScalingGroupName ScalingProcesses"},
		"ResumeProcesses":                     {(*World).resume, "AutoScalingGroupName ScalingProcesses"},
		"StartInstanceRefresh":                {(*World).startRefresh, "AutoScalingGroupName Strategy DesiredConfiguration Preferences"},
		"DescribeInstanceRefreshes":           {(*World).describeRefreshes, "AutoScalingGroupName InstanceRefreshIds MaxRecords NextToken"},
		"CancelInstanceRefresh":               {(*World).cancelRefresh, "AutoScalingGroupName"},
		"RollbackInstanceRefresh":             {(*World).rollbackRefresh, "AutoScalingGroupName"},
	}
}

// groupLocked finds the group that a request names.
func (w *World) groupLocked(req *request) (*group, error) {
	name := req.form.str("AutoScalingGroupName")
	if name == "" {
		return nil, missing("autoscaling", "autoScalingGroupName")
	}
	if g := w.groups[name]; g != nil {
		return g, nil
	}
	return nil, fail("ValidationError", "AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

// recordSize reads MaxRecords.
func recordSize(req *request, usual, most int) (int, error) {
	n, given, err := req.form.integer("autoscaling", "MaxRecords")
	switch {
	case err != nil:
		return 0, err
	case !given:
		return usual, nil
	case n < 1 || n > most:
		return 0, fail("ValidationError", "The number of records must be between 1 and %d", most)
	}
	return n, nil
}

func badGroupToken() error { return fail("InvalidNextToken", "The token is invalid.") }

// setDesired changes the desired capacity within the group's bounds.
func (w *World) setDesired(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	n, given, err := req.form.integer("autoscaling", "DesiredCapacity")
	switch {
	case err != nil:
		return nil, err
	case !given:
		return nil, missing("autoscaling", "desiredCapacity")
	case req.form.str("HonorCooldown") == "true":
		return nil, notSimulated("autoscaling", req.action, "HonorCooldown=true")
	case g.deleting:
		return nil, fail("ScalingActivityInProgress", "AutoScalingGroup %s is being deleted", g.name)
	case n > g.max:
		return nil, fail("ValidationError", "New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", n, g.max)
	case n < g.min:
		return nil, fail("ValidationError", "New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", n, g.min)
	}
	g.setDesired(n)
	w.reconcileNowLocked(g)
	return nil, nil
}

// memberByIDLocked finds a group member by instance id.
func (w *World) memberByIDLocked(id string) (*group, *member) {
	for _, g := range w.groups {
		for _, m := range g.members {
			if m.inst.ID == id {
				return g, m
			}
		}
	}
	return nil, nil
}

// terminateMember ends a named instance, and lowers the desired capacity with
// it or has it replaced. What a second call for an instance that is already on
// its way out does is not documented: by Weather.Repeat it is refused, or taken
// and lowers the capacity once more.
func (w *World) terminateMember(req *request) (any, error) {
	id := req.form.str("InstanceId")
	if id == "" {
		return nil, missing("autoscaling", "instanceId")
	}
	if !req.form.has("ShouldDecrementDesiredCapacity") {
		return nil, missing("autoscaling", "shouldDecrementDesiredCapacity")
	}
	g, m := w.memberByIDLocked(id)
	if m == nil {
		return nil, fail("ValidationError", "Instance Id not found - No managed instance found for instance ID: %s", id)
	}
	if m.warm() {
		return nil, fail("ValidationError", "The instance %s is in a warm pool and cannot be terminated by this call.", id)
	}
	if m.leaving() && !w.takesRepeatLocked() {
		return nil, fail("ScalingActivityInProgress", "Instance %s is already being terminated", id)
	}
	shrink := ""
	if req.form.str("ShouldDecrementDesiredCapacity") == "true" {
		if g.desired-1 < g.min {
			return nil, fail("ValidationError", "Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", g.min)
		}
		shrink = ", " + g.changing("shrinking the capacity", g.desired-1)
		g.desired--
	}
	if m.leaving() {
		w.reconcileNowLocked(g)
		return []node{el("Activity", w.activityNodes(m.activity))}, nil
	}
	a := w.leaveLocked(g, m, "instance "+id+" was taken out of service in response to a user request"+shrink, true)
	w.reconcileNowLocked(g)
	return []node{el("Activity", w.activityNodes(a))}, nil
}

// setProtection guards members against being chosen by a scale-in, or stops
// doing so.
func (w *World) setProtection(req *request) (any, error) {
	g, err := w.groupLocked(req)
	if err != nil {
		return nil, err
	}
	ids := req.form.strs("InstanceIds.member")
	var members []*member
	for _, id := range ids {
		_, m := w.memberByIDLocked(id)
		if m == nil || !slices.Contains(g.members, m) {
			return nil, fail("ValidationError", "The instance %s is not part of Auto Scaling group %s.", id, g.name)
		}
		if m.lifecycle != inService && !strings.HasPrefix(m.lifecycle, pending) {
			return nil, fail("ValidationError", "The instance %s is not in InService or EnteringStandby or Standby.", id)
		}
		members = append(members, m)
	}
	for _, m := range members {
		m.protected = req.form.str("ProtectedFromScaleIn") == "true"
	}
	w.reconcileLocked(g)
	return nil, nil
}
