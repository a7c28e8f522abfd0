package awssim

import "strings"

// identityRole is the name of the role that EC2 gives every instance from its
// launch, apart from the instance profile's. No role that is made in IAM can have
// that name.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-identity-roles.html
const identityRole = "aws:ec2-instance"

// SetInstanceIdentity says whether the metadata service of an instance serves the
// credentials of its identity role. It does by default; World.NoInstanceIdentity
// turns it off for all.
func (w *World) SetInstanceIdentity(instanceID string, served bool) {
	w.onInstance(instanceID, func(i *instance) { i.noIdentityRole = !served })
}

// identityRoleTreeLocked hands out the credentials of the instance's identity
// role, with or without an instance profile.
func (w *World) identityRoleTreeLocked(i *instance, meta func(path, value string)) {
	if w.NoInstanceIdentity || i.noIdentityRole {
		return
	}
	i.identityCreds = w.renewedLocked(i.identityCreds, identityRole, i.ID)
	s := i.identityCreds
	meta("identity-credentials/ec2/info", document(map[string]any{
		"Code": "Success", "LastUpdated": seconds(s.made), "AccountId": w.AccountID,
	}))
	meta("identity-credentials/ec2/security-credentials/ec2-instance", s.document())
}

// identity reports whether the caller is an instance by its identity role.
func (p principal) identity() bool { return p.role == identityRole }

// refuseIdentityLocked refuses an instance's identity role whatever it was not
// made for: only services with an integration accept it, and policies do not
// apply to it. Of the services here STS alone has one, for GetCallerIdentity.
func (w *World) refuseIdentityLocked(req *request) error {
	if !req.caller.identity() || req.service == "sts" && req.action == "GetCallerIdentity" {
		return nil
	}
	return denied(req.service, w.sessionARN(req.caller), access{action: req.service + ":" + req.action, resource: "*"}, implicitDeny)
}

// callerID is the unique id of a caller. That of an identity role has no role id
// in it, as AWS' CloudTrail samples show.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/logging-using-cloudtrail.html
func (w *World) callerID(p principal) string {
	if p.identity() {
		return strings.Join([]string{w.AccountID, p.role, p.session}, ":")
	}
	return roleID(p.role) + ":" + p.session
}
