package awssim

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// iamActions are what makes and unmakes the roles of an installation.
func iamActions() map[string]action {
	const profile = "InstanceProfileName"
	return map[string]action{
		"CreateRole":                    {(*World).createRole, "RoleName AssumeRolePolicyDocument Description Tags"},
		"DeleteRole":                    {(*World).deleteRole, "RoleName"},
		"PutRolePolicy":                 {(*World).putRolePolicy, "RoleName PolicyName PolicyDocument"},
		"DeleteRolePolicy":              {(*World).deleteRolePolicy, "RoleName PolicyName"},
		"ListRolePolicies":              {(*World).listRolePolicies, "RoleName"},
		"CreateInstanceProfile":         {(*World).createProfile, profile},
		"DeleteInstanceProfile":         {(*World).deleteProfile, profile},
		"AddRoleToInstanceProfile":      {(*World).addToProfile, profile + " RoleName"},
		"RemoveRoleFromInstanceProfile": {(*World).removeFromProfile, profile + " RoleName"},
	}
}

// iamRegions are the regions that requests to IAM, which has none, are signed for.
// https://docs.aws.amazon.com/general/latest/gr/iam-service.html
var iamRegions = map[string]string{"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}

// iamRole is a role that IAM's API made, with its inline policies by name. World.policies
// holds them too: there they are evaluated.
type iamRole struct{ inline map[string]*policy }

// nothing is the policy of a role that has none. A role without an entry in
// World.policies is an administrator, which IAM knows nothing like.
var nothing = &policy{}

// CreateRole makes a role that EC2 may assume and that may do nothing yet, with an
// instance profile of the same name. IAM's API can then change both.
func (w *World) CreateRole(name string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.makeRoleLocked(name)
	w.profiles[name] = name
}

func (w *World) makeRoleLocked(name string) {
	w.iamRoles[name] = &iamRole{inline: map[string]*policy{}}
	w.policies[name] = append(w.policies[name], nothing)
}

func noSuchEntity(kind, name string) *apiError {
	e := fail("NoSuchEntity", "The %s with name %s cannot be found.", kind, name)
	e.status = http.StatusNotFound
	return e
}

func iamConflict(code, format string, args ...any) *apiError {
	e := fail(code, format, args...)
	e.status = http.StatusConflict
	return e
}

// roleLocked returns the name of the role that a request names, and the role.
func (w *World) roleLocked(req *request) (string, *iamRole, error) {
	name := req.form.str("RoleName")
	if r := w.iamRoles[name]; r != nil {
		return name, r, nil
	}
	return name, nil, noSuchEntity("role", name)
}

func (w *World) createRole(req *request) (any, error) {
	name := req.form.str("RoleName")
	if !roleNameForm.MatchString(name) {
		return nil, fail("ValidationError", "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
	}
	if w.iamRoles[name] != nil {
		return nil, iamConflict("EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	if !json.Valid([]byte(req.form.str("AssumeRolePolicyDocument"))) {
		return nil, fail("MalformedPolicyDocument", "This policy contains invalid Json")
	}
	w.makeRoleLocked(name)
	return []node{el("Role", []node{
		el("Path", "/"), el("RoleName", name), el("RoleId", roleID(name)), el("Arn", w.globalARN("iam", "role/"+name)),
	})}, nil
}

func (w *World) deleteRole(req *request) (any, error) {
	name, role, err := w.roleLocked(req)
	if err != nil {
		return nil, err
	}
	if len(role.inline) > 0 {
		return nil, iamConflict("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	for _, member := range w.profiles {
		if member == name {
			return nil, iamConflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	delete(w.iamRoles, name)
	return nil, nil
}

func (w *World) putRolePolicy(req *request) (any, error) {
	name, role, err := w.roleLocked(req)
	if err != nil {
		return nil, err
	}
	p, err := parsePolicy(req.form.str("PolicyDocument"))
	if err != nil {
		return nil, fail("MalformedPolicyDocument", "%v", err)
	}
	called := req.form.str("PolicyName")
	w.dropPolicyLocked(name, role, called)
	role.inline[called] = p
	w.policies[name] = append(w.policies[name], p)
	return nil, nil
}

func (w *World) deleteRolePolicy(req *request) (any, error) {
	name, role, err := w.roleLocked(req)
	if err != nil {
		return nil, err
	}
	called := req.form.str("PolicyName")
	if role.inline[called] == nil {
		return nil, noSuchEntity("role policy", called)
	}
	w.dropPolicyLocked(name, role, called)
	return nil, nil
}

func (w *World) dropPolicyLocked(name string, role *iamRole, called string) {
	old := role.inline[called]
	w.policies[name] = slices.DeleteFunc(w.policies[name], func(p *policy) bool { return p == old && old != nil })
	delete(role.inline, called)
}

func (w *World) listRolePolicies(req *request) (any, error) {
	_, role, err := w.roleLocked(req)
	if err != nil {
		return nil, err
	}
	return []node{elList("PolicyNames", "member", slices.Sorted(maps.Keys(role.inline)), func(s string) any { return s }), el("IsTruncated", false)}, nil
}

func (w *World) createProfile(req *request) (any, error) {
	name := req.form.str("InstanceProfileName")
	if _, ok := w.profiles[name]; ok {
		return nil, iamConflict("EntityAlreadyExists", "Instance Profile %s already exists.", name)
	}
	w.profiles[name] = ""
	return []node{el("InstanceProfile", []node{
		el("Path", "/"), el("InstanceProfileName", name), el("Arn", w.profileARN(name)), {name: "Roles"},
	})}, nil
}

func (w *World) deleteProfile(req *request) (any, error) {
	name := req.form.str("InstanceProfileName")
	role, ok := w.profiles[name]
	if !ok {
		return nil, noSuchEntity("instance profile", name)
	}
	if role != "" {
		return nil, iamConflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(w.profiles, name)
	return nil, nil
}

func (w *World) addToProfile(req *request) (any, error) {
	role, _, err := w.roleLocked(req)
	if err != nil {
		return nil, err
	}
	name := req.form.str("InstanceProfileName")
	old, ok := w.profiles[name]
	switch {
	case !ok:
		return nil, noSuchEntity("instance profile", name)
	case old != "":
		return nil, iamConflict("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	w.profiles[name] = role
	return nil, nil
}

func (w *World) removeFromProfile(req *request) (any, error) {
	role, name := req.form.str("RoleName"), req.form.str("InstanceProfileName")
	if old, ok := w.profiles[name]; !ok || old != role {
		return nil, noSuchEntity("role of the instance profile", role)
	}
	w.profiles[name] = ""
	return nil, nil
}

// iamResource is the ARN of what a request is about.
func (w *World) iamResource(req *request) string {
	if name := req.form.str("InstanceProfileName"); name != "" && strings.Contains(req.action, "InstanceProfile") {
		return w.profileARN(name)
	}
	return w.globalARN("iam", "role/"+req.form.str("RoleName"))
}
