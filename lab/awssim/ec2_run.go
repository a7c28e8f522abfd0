package awssim

import (
	"maps"
	"net/http"
	"slices"
)

// runFields are the parameters of RunInstances that the simulation knows.
const runFields = templateFields + " MinCount MaxCount SubnetId Placement NetworkInterface EbsOptimized EnclaveOptions CreditSpecification CapacityReservationSpecification"

// reservation is what one RunInstances launched.
type reservation struct {
	form      form // of the request, to tell a repetition from another request
	instances []*instance
}

func dryRun() *apiError {
	return &apiError{code: "DryRunOperation", message: "Request would have succeeded, but DryRun flag is set.", status: http.StatusPreconditionFailed}
}

// runInstances launches instances outside any group: all of the least number that is
// asked for, or none.
func (w *World) runInstances(req *request) (any, error) {
	token := req.form.str("ClientToken")
	if r := w.launches[token]; token != "" && r != nil {
		if !maps.Equal(r.form, req.form) {
			return nil, fail("IdempotentParameterMismatch", "Client token already used before.")
		}
		return w.reservationNodes(r), nil
	}
	l, least, most, err := w.readRunLocked(req)
	if err != nil {
		return nil, err
	}
	if req.form.str("DryRun") == "true" {
		return nil, dryRun()
	}
	if err := w.placeLocked(req.form, &l); err != nil {
		return nil, err
	}
	r := &reservation{form: maps.Clone(req.form)}
	for len(r.instances) < most {
		i, err := w.launchLocked(l)
		if err != nil && len(r.instances) < least {
			w.dropLocked(r.instances)
			return nil, err
		}
		if err != nil {
			break
		}
		r.instances = append(r.instances, i)
	}
	for _, i := range r.instances {
		i.reservID = r.instances[0].reservID
		w.bootLocked(i)
	}
	if token != "" {
		w.launches[token] = r
	}
	return w.reservationNodes(r), nil
}

// dropLocked takes instances back that were not booted yet.
func (w *World) dropLocked(list []*instance) {
	for _, i := range list {
		for _, v := range i.volumes {
			delete(w.volumes, v.id)
		}
		delete(w.instances, i.ID)
		w.order = slices.DeleteFunc(w.order, func(id string) bool { return id == i.ID })
	}
}

func (w *World) reservationNodes(r *reservation) []node {
	return []node{
		el("reservationId", r.instances[0].reservID), el("ownerId", w.AccountID), el("groupSet", []node{}),
		elList("instancesSet", "item", r.instances, func(i *instance) any { return w.instanceNodes(i) }),
	}
}

// readRunLocked reads what is to be launched and holds it to what there is.
func (w *World) readRunLocked(req *request) (l launch, least, most int, err error) {
	f := req.form
	counts := map[string]*int{"MinCount": &least, "MaxCount": &most}
	for _, name := range []string{"MinCount", "MaxCount"} {
		n, given, err := f.integer("ec2", name)
		if err != nil {
			return l, 0, 0, err
		}
		if !given {
			return l, 0, 0, missing("ec2", name)
		}
		*counts[name] = n
	}
	if least < 1 || most < least {
		return l, 0, 0, fail("InvalidParameterValue", "Value (%d) for parameter minCount is invalid. The minimum count is at least 1 and at most the maximum count %d.", least, most)
	}
	if l.data, err = readLaunchData(f); err != nil {
		return l, 0, 0, err
	}
	if l.data.ImageID == "" {
		return l, 0, 0, missing("ec2", "ImageId")
	}
	setDefault(&l.data.InstanceType, "m1.small")
	for name, only := range map[string]string{
		"EnclaveOptions.Enabled": "false", "EbsOptimized": "false", "Placement.Tenancy": "default",
		"CapacityReservationSpecification.CapacityReservationPreference": "none",
	} {
		if v := f.str(name); v != "" && v != only {
			return l, 0, 0, notSimulated("ec2", req.action, name+"="+v)
		}
	}
	t, ok := w.types[l.data.InstanceType]
	if !ok {
		return l, 0, 0, fail("InvalidParameterValue", "Invalid value '%s' for InstanceType.", l.data.InstanceType)
	}
	if _, err = w.launchableLocked(l.data.ImageID, t); err != nil {
		return l, 0, 0, err
	}
	if err = w.checkProfileLocked(l.data); err != nil {
		return l, 0, 0, err
	}
	return l, least, most, w.checkKeyLocked(l.data.KeyName)
}

func (w *World) checkKeyLocked(name string) error {
	if name != "" && w.keyPairs[name] == nil {
		return unknownKeyPair(name)
	}
	return nil
}

// placeLocked finds the subnet and the security groups of a launch: those of the
// request, or of its one network interface.
func (w *World) placeLocked(f form, l *launch) error {
	id, zone := f.str("SubnetId"), f.str("Placement.AvailabilityZone")
	if e := f.list("NetworkInterface"); len(e) > 0 {
		if len(e) > 1 || id != "" || len(l.data.SecurityGroupIDs) > 0 {
			return fail("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
		}
		if e[0].str("AssociatePublicIpAddress") == "true" {
			return notSimulated("ec2", "RunInstances", "AssociatePublicIpAddress=true")
		}
		id, l.data.SecurityGroupIDs = e[0].str("SubnetId"), e[0].strs("SecurityGroupId")
	}
	if id == "" {
		return noDefaultVPC()
	}
	at := slices.IndexFunc(w.subnets, func(s subnet) bool { return s.id == id })
	if at < 0 {
		return fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", id)
	}
	l.zone = w.subnets[at].zone
	if zone != "" && zone != l.zone {
		return fail("InvalidParameterValue", "Value (%s) for parameter availabilityZone is invalid. Subnet '%s' is in the availability zone %s", zone, id, l.zone)
	}
	for _, g := range l.data.SecurityGroupIDs {
		if w.securityGroups[g] == nil {
			return unknownGroup(g)
		}
	}
	if len(l.data.SecurityGroupIDs) == 0 {
		l.data.SecurityGroupIDs = []string{w.defaultGroupLocked().id}
	}
	return nil
}
