package awssim

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// role is a role that was made through IAM. Those that only a test's set-up names have
// none of this and are known all the same.
type role struct {
	name, description, trust string
	created                  time.Time
	inline                   map[string]*policy // name -> policy
}

// instanceProfile is how a role gets into an instance.
type instanceProfile struct {
	name, role string // no role: none was added
	created    time.Time
}

func iamActions() map[string]action {
	return map[string]action{
		"CreateRole":                    {(*World).createRole, "RoleName AssumeRolePolicyDocument Description Tags Path"},
		"GetRole":                       {(*World).getRole, "RoleName"},
		"PutRolePolicy":                 {(*World).putRolePolicy, "RoleName PolicyName PolicyDocument"},
		"DeleteRolePolicy":              {(*World).deleteRolePolicy, "RoleName PolicyName"},
		"DeleteRole":                    {(*World).deleteRole, "RoleName"},
		"CreateInstanceProfile":         {(*World).createProfile, "InstanceProfileName Tags Path"},
		"GetInstanceProfile":            {(*World).getProfile, "InstanceProfileName"},
		"AddRoleToInstanceProfile":      {(*World).addRoleToProfile, "InstanceProfileName RoleName"},
		"RemoveRoleFromInstanceProfile": {(*World).removeRoleFromProfile, "InstanceProfileName RoleName"},
		"DeleteInstanceProfile":         {(*World).deleteProfile, "InstanceProfileName"},
	}
}

var iamName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)

func conflict(code, format string, args ...any) *apiError {
	e := fail(code, format, args...)
	e.status = http.StatusConflict
	return e
}

func noEntity(kind, name string) *apiError {
	e := fail("NoSuchEntity", "%s %s cannot be found.", kind, name)
	e.status = http.StatusNotFound
	return e
}

// newName reads the name of what a request makes.
func newName(req *request, param string) (string, error) {
	name := req.form.str(param)
	if path := req.form.str("Path"); path != "" && path != "/" {
		return "", notSimulated("iam", req.action, "Path="+path)
	}
	if !iamName.MatchString(name) {
		return "", invalid("iam", "The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", param)
	}
	return name, nil
}

// createRole makes a role that may do nothing.
func (w *World) createRole(req *request) (any, error) {
	name, err := newName(req, "RoleName")
	if err != nil {
		return nil, err
	}
	if w.madeRoles[name] != nil || len(w.policies[name]) > 0 {
		return nil, conflict("EntityAlreadyExists", "Role with name %s already exists.", name)
	}
	r := &role{name: name, description: req.form.str("Description"), trust: req.form.str("AssumeRolePolicyDocument"), created: time.Now(), inline: map[string]*policy{}}
	w.madeRoles[name] = r
	w.holdLocked(r)
	return []node{el("Role", w.roleNodes(r))}, nil
}

// holdLocked holds a role to its inline policies. An empty one is among them, since a
// role that no policy was attached to is an administrator in this world.
func (w *World) holdLocked(r *role) {
	w.policies[r.name] = []*policy{{}}
	for _, name := range slices.Sorted(maps.Keys(r.inline)) {
		w.policies[r.name] = append(w.policies[r.name], r.inline[name])
	}
}

func (w *World) roleNodes(r *role) []node {
	return []node{el("Path", "/"), el("RoleName", r.name), el("RoleId", roleID(r.name)), el("Arn", w.globalARN("iam", "role/"+r.name)),
		el("CreateDate", r.created), el("AssumeRolePolicyDocument", url.QueryEscape(r.trust)), el("Description", r.description), el("MaxSessionDuration", 3600)}
}

func (w *World) findRoleLocked(req *request) (*role, error) {
	name := req.form.str("RoleName")
	if r := w.madeRoles[name]; r != nil {
		return r, nil
	}
	return nil, noEntity("The role with name", name)
}

func (w *World) getRole(req *request) (any, error) {
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	return []node{el("Role", w.roleNodes(r))}, nil
}

func (w *World) putRolePolicy(req *request) (any, error) {
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	p, err := parsePolicy(req.form.str("PolicyDocument"))
	if err != nil {
		return nil, fail("MalformedPolicyDocument", "%v", err)
	}
	r.inline[req.form.str("PolicyName")] = p
	w.holdLocked(r)
	return []node{}, nil
}

func (w *World) deleteRolePolicy(req *request) (any, error) {
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	name := req.form.str("PolicyName")
	if r.inline[name] == nil {
		return nil, noEntity("The role policy with name", name)
	}
	delete(r.inline, name)
	w.holdLocked(r)
	return []node{}, nil
}

// deleteRole leaves those who still have its credentials without any right.
func (w *World) deleteRole(req *request) (any, error) {
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	if len(r.inline) > 0 {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	for _, p := range w.profiles {
		if p.role == r.name {
			return nil, conflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	delete(w.madeRoles, r.name)
	return []node{}, nil
}

func (w *World) createProfile(req *request) (any, error) {
	name, err := newName(req, "InstanceProfileName")
	if err != nil {
		return nil, err
	}
	if w.profiles[name] != nil {
		return nil, conflict("EntityAlreadyExists", "Instance Profile %s already exists.", name)
	}
	p := &instanceProfile{name: name, created: time.Now()}
	w.profiles[name] = p
	return []node{el("InstanceProfile", w.profileNodesLocked(p))}, nil
}

func (w *World) profileNodesLocked(p *instanceProfile) []node {
	var roles []*role
	if r := w.madeRoles[p.role]; r != nil {
		roles = append(roles, r)
	}
	return []node{el("Path", "/"), el("InstanceProfileName", p.name), el("InstanceProfileId", "AIPA"+roleID(p.name)[4:]), el("Arn", w.profileARN(p.name)),
		el("CreateDate", p.created), elList("Roles", "member", roles, func(r *role) any { return w.roleNodes(r) })}
}

func (w *World) findProfileLocked(req *request) (*instanceProfile, error) {
	name := req.form.str("InstanceProfileName")
	if p := w.profiles[name]; p != nil {
		return p, nil
	}
	return nil, noEntity("Instance Profile", name)
}

func (w *World) getProfile(req *request) (any, error) {
	p, err := w.findProfileLocked(req)
	if err != nil {
		return nil, err
	}
	return []node{el("InstanceProfile", w.profileNodesLocked(p))}, nil
}

func (w *World) addRoleToProfile(req *request) (any, error) {
	p, err := w.findProfileLocked(req)
	if err != nil {
		return nil, err
	}
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, conflict("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.role = r.name
	return []node{}, nil
}

func (w *World) removeRoleFromProfile(req *request) (any, error) {
	p, err := w.findProfileLocked(req)
	if err != nil {
		return nil, err
	}
	if name := req.form.str("RoleName"); p.role != name {
		return nil, noEntity("The role with name", name)
	}
	p.role = ""
	return []node{}, nil
}

func (w *World) deleteProfile(req *request) (any, error) {
	p, err := w.findProfileLocked(req)
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, conflict("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(w.profiles, p.name)
	return []node{}, nil
}

// checkProfileLocked refuses an instance profile that IAM and the tests' set-up do not know.
func (w *World) checkProfileLocked(d LaunchTemplateData) error {
	name := d.RoleName
	if name == "" || w.profiles[name] != nil || w.roles[name] != nil || w.madeRoles[name] == nil && len(w.policies[name]) > 0 {
		return nil
	}
	return fail("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
}

// iamAccessesLocked lists what a request to IAM needs. Tags that a request gives to what
// it makes, and a role that it hands on, are permissions of their own.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
func (w *World) iamAccessesLocked(req *request) []access {
	name, profile := req.form.str("RoleName"), req.form.str("InstanceProfileName")
	resource, tag := w.globalARN("iam", "role/"+name), "iam:TagRole"
	if profile != "" {
		resource, tag = w.profileARN(profile), "iam:TagInstanceProfile"
	}
	out := []access{on(req, resource, nil)}
	if tags := req.form.list("Tags.member"); len(tags) > 0 {
		tagging := access{action: tag, resource: resource, keys: map[string]string{}}
		requestTags(out[0], tags)
		requestTags(tagging, tags)
		out = append(out, tagging)
	}
	if req.action == "AddRoleToInstanceProfile" {
		out = append(out, w.passing(name))
	}
	return out
}

// passing is handing a role to EC2.
func (w *World) passing(role string) access {
	return access{action: "iam:PassRole", resource: w.globalARN("iam", "role/"+role), keys: map[string]string{keyPassedTo: "ec2." + w.dnsSuffix()}}
}
