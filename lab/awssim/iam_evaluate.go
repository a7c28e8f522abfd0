package awssim

import (
	"net/http"
	"strings"
)

// Condition keys.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
const (
	keyRegion       = "aws:RequestedRegion"
	keyTag          = "aws:ResourceTag/"
	keyRequestTag   = "aws:RequestTag/"
	keyGroupTag     = "autoscaling:ResourceTag/"
	keyViaService   = "kms:ViaService"
	keyContext      = "kms:EncryptionContext:"
	keyGrantForAWS  = "kms:GrantIsForAWSResource"
	keyOverwrite    = "ssm:Overwrite"
	keyCreateAction = "ec2:CreateAction"
	keyEncrypted    = "ec2:Encrypted"
	keyTokens       = "ec2:MetadataHttpTokens"
	keyPassedTo     = "iam:PassedToService"
)

// access is one thing that a request needs permission for.
type access struct {
	action   string            // such as ssm:GetParameter
	resource string            // its ARN, or "*" for an action that is on no resource
	keys     map[string]string // condition keys of the request
}

// decision is the outcome of evaluating policies.
type decision int

const (
	implicitDeny decision = iota // nothing allows it
	allowed
	explicitDeny
)

// decide evaluates policies as IAM does: any deny wins, else one allow is
// enough. It returns the entries that allow, for the record of their use.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func decide(policies []*policy, a access) (decision, []func()) {
	result := implicitDeny
	var use []func()
	for _, p := range policies {
		for _, s := range p.Statement {
			action, ok := s.matches(a)
			switch {
			case !ok:
			case s.Effect == "Deny":
				return explicitDeny, nil
			default:
				result = allowed
				use = append(use, func() { s.used[action] = true })
			}
		}
	}
	return result, use
}

// matches reports whether a statement is about an access, and by which entry
// of its actions.
func (s *statement) matches(a access) (action string, ok bool) {
	for _, pattern := range s.Action {
		if wildcard(strings.ToLower(pattern), strings.ToLower(a.action)) {
			return pattern, s.onResource(a.resource) && s.holds(a.keys)
		}
	}
	return "", false
}

func (s *statement) onResource(resource string) bool {
	for _, pattern := range s.Resource {
		if wildcard(pattern, resource) {
			return true
		}
	}
	return false
}

// holds reports that all conditions are met. A key that the request does not
// carry meets none.
func (s *statement) holds(have map[string]string) bool {
	for operator, keys := range s.Condition {
		for key, values := range keys {
			value, carried := have[key]
			if !carried || !matchesAny(operators[operator], values, value) {
				return false
			}
		}
	}
	return true
}

func matchesAny(match func(pattern, value string) bool, patterns []string, value string) bool {
	for _, p := range patterns {
		if match(p, value) {
			return true
		}
	}
	return false
}

// authorizeLocked decides whether the caller may do what it asks for. It is the
// one place where a request is checked; what SSM does with a key on the
// caller's behalf is checked by throughSSMLocked.
func (w *World) authorizeLocked(req *request) error {
	if err := w.refuseIdentityLocked(req); err != nil {
		return err
	}
	if len(w.policies[req.caller.role]) == 0 || req.service == "sts" && req.action == "GetCallerIdentity" {
		return nil // GetCallerIdentity takes no permission and cannot be denied
	}
	needed, err := w.accessesLocked(req)
	if err != nil {
		return err
	}
	for _, a := range needed {
		if err := w.permitLocked(req, a, false); err != nil {
			return err
		}
	}
	return nil
}

// permitLocked holds one access against the caller's policies. granted says
// that the resource's own policy lets everybody in the account have it.
func (w *World) permitLocked(req *request, a access, granted bool) error {
	policies := w.policies[req.caller.role]
	if len(policies) == 0 {
		return nil
	}
	a.keys[keyRegion] = w.Region
	result, use := decide(policies, a)
	if result == allowed || result == implicitDeny && granted {
		for _, note := range use {
			note()
		}
		return nil
	}
	return denied(req.service, w.sessionARN(req.caller), a, result)
}

// denied is a service's way to say that the policies do not let the caller.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func denied(service, caller string, a access, result decision) *apiError {
	message := "User: " + caller + " is not authorized to perform: " + a.action
	if a.resource != "*" || service == "ssm" || service == "kms" {
		message += " on resource: " + a.resource
	}
	if result == explicitDeny {
		message += " with an explicit deny in an identity-based policy"
	} else {
		message += " because no identity-based policy allows the " + a.action + " action"
	}
	switch service {
	case "ssm", "kms":
		return fail("AccessDeniedException", "%s", message)
	case "sqs":
		return sqsError("AccessDeniedException", "%s", message)
	case "ec2":
		return &apiError{code: "UnauthorizedOperation", message: "You are not authorized to perform this operation. " + message, status: http.StatusForbidden}
	default:
		return &apiError{code: "AccessDenied", message: message, status: http.StatusForbidden}
	}
}
