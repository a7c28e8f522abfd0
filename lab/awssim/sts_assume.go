package awssim

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// TrustRole lets callers of the role by assume another role, as its trust policy
// would. Without it a role trusts EC2 alone.
func (w *World) TrustRole(role, by string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trusts[role] = append(w.trusts[role], by)
}

// Forms of names (IAM API Reference, CreateRole; STS API Reference, AssumeRole).
// Neither allows the colon of an identity role's name, or a slash.
var (
	roleNameForm    = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
	sessionNameForm = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// Bounds of DurationSeconds and its default.
const (
	shortestSession = 15 * time.Minute
	longestSession  = 12 * time.Hour
	defaultSession  = time.Hour
)

// assumeRole gives a session of another role under a name that the caller
// chooses, which is what makes a session's name alone no proof of anything.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
func (w *World) assumeRole(req *request) (any, error) {
	arn, name := req.form.str("RoleArn"), req.form.str("RoleSessionName")
	if !sessionNameForm.MatchString(name) {
		return nil, fail("ValidationError", "Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	life, err := w.sessionLife(req)
	if err != nil {
		return nil, err
	}
	role, ok := w.roleOfARN(arn)
	if !ok {
		return nil, fail("ValidationError", "%s is invalid", arn)
	}
	if !slices.Contains(w.trusts[role], req.caller.role) {
		return nil, denied("sts", w.sessionARN(req.caller), access{action: "sts:AssumeRole", resource: arn}, implicitDeny)
	}
	s := w.newSessionLocked(role, name, time.Now().Add(life))
	p := principal{role, name}
	return []node{
		el("Credentials", []node{el("AccessKeyId", s.key), el("SecretAccessKey", s.secret), el("SessionToken", s.token), el("Expiration", seconds(s.expires))}),
		el("AssumedRoleUser", []node{el("AssumedRoleId", w.callerID(p)), el("Arn", w.sessionARN(p))}),
	}, nil
}

func (w *World) sessionLife(req *request) (time.Duration, error) {
	n, ok, err := req.form.integer("sts", "DurationSeconds")
	if err != nil || !ok {
		return defaultSession, err
	}
	life := time.Duration(n) * time.Second
	if life < shortestSession || life > longestSession {
		return 0, fail("ValidationError", "Value '%d' at 'durationSeconds' failed to satisfy constraint", n)
	}
	return life, nil
}

// roleOfARN returns the name of a role of this account, without its path.
func (w *World) roleOfARN(arn string) (string, bool) {
	path, ok := strings.CutPrefix(arn, w.globalARN("iam", "role/"))
	name := path[strings.LastIndex(path, "/")+1:]
	return name, ok && roleNameForm.MatchString(name)
}
