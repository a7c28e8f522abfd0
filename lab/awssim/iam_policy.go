package awssim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// policy is an IAM policy document that is attached to a role.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
type policy struct {
	Version   string
	ID        string `json:"Id"`
	Statement statements
}

// statement allows or denies actions on resources under conditions, all of
// which must hold: operator -> condition key -> values, any of which may match.
type statement struct {
	Sid, Effect string
	Action      oneOrMany
	Resource    oneOrMany
	Condition   map[string]map[string]oneOrMany

	used map[string]bool // entries of Action that have allowed a call
}

// oneOrMany is a value that a policy may write as a string or a list of them.
type oneOrMany []string

// UnmarshalJSON takes both forms.
func (o *oneOrMany) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMany{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

// statements is one statement or a list of them.
type statements []*statement

// UnmarshalJSON takes both forms, and no element that is not simulated.
func (s *statements) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	return strictly(data, (*[]*statement)(s))
}

func strictly(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

// operators are the condition operators that are simulated.
var operators = map[string]func(pattern, value string) bool{
	"StringEquals": func(pattern, value string) bool { return pattern == value },
	"StringLike":   wildcard,
	"Bool":         strings.EqualFold,
}

// AttachPolicy holds a role to an IAM policy document: what it asks for must be
// allowed by one of its policies and denied by none, as IAM evaluates
// identity-based policies. A role to which none was attached is an
// administrator. The key policies of KMS keys leave access to IAM, as the
// default one does. A document with anything that is not simulated is refused.
func (w *World) AttachPolicy(role, document string) error {
	p, err := parsePolicy(document)
	if err != nil {
		return fmt.Errorf("attach policy to %s: %w", role, err)
	}
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policies[role] = append(w.policies[role], p)
	return nil
}

func parsePolicy(document string) (*policy, error) {
	p := &policy{}
	if err := strictly([]byte(document), p); err != nil {
		return nil, err
	}
	return p, p.check()
}

// UnusedPermissions returns what a role was allowed and has never made use of,
// as "<Sid>: <action>", in the order of its policies.
func (w *World) UnusedPermissions(role string) []string {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, p := range w.policies[role] {
		for _, s := range p.Statement {
			for _, a := range s.Action {
				if s.Effect == "Allow" && !s.used[a] {
					out = append(out, s.Sid+": "+a)
				}
			}
		}
	}
	return out
}

func (p *policy) check() error {
	var errs []error
	if p.Version != "2012-10-17" {
		errs = append(errs, fmt.Errorf("version %q is not simulated, 2012-10-17 is", p.Version))
	}
	if len(p.Statement) == 0 {
		errs = append(errs, errors.New("no statement"))
	}
	sids := map[string]bool{}
	for n, s := range p.Statement {
		if s == nil {
			errs = append(errs, fmt.Errorf("statement %d is null", n))
			continue
		}
		if s.Sid != "" && sids[s.Sid] {
			errs = append(errs, fmt.Errorf("statement %d: Sid %s is not unique", n, s.Sid))
		}
		sids[s.Sid] = true
		if err := s.check(); err != nil {
			errs = append(errs, fmt.Errorf("statement %d %s: %w", n, s.Sid, err))
		}
		s.used = map[string]bool{}
	}
	return errors.Join(errs...)
}

func (s *statement) check() error {
	if s.Effect != "Allow" && s.Effect != "Deny" {
		return fmt.Errorf("effect %q is neither Allow nor Deny", s.Effect)
	}
	if len(s.Action) == 0 || len(s.Resource) == 0 {
		return errors.New("both Action and Resource are needed")
	}
	for _, a := range s.Action {
		if service, name, ok := strings.Cut(a, ":"); a != "*" && (!ok || service == "" || name == "") {
			return fmt.Errorf("action %q is no <service>:<action>", a)
		}
		if strings.ContainsAny(a, `$\`) {
			return fmt.Errorf("action %q: only letters and wildcards are simulated", a)
		}
	}
	for _, r := range s.Resource {
		if r != "*" && !strings.HasPrefix(r, "arn:") {
			return fmt.Errorf("resource %q is no ARN", r)
		}
		if strings.ContainsAny(r, `$\`) {
			return fmt.Errorf("resource %q: policy variables are not simulated", r)
		}
	}
	for operator, keys := range s.Condition {
		if operators[operator] == nil {
			return fmt.Errorf("condition operator %s is not simulated", operator)
		}
		for key, values := range keys {
			if !knownKey(key) {
				return fmt.Errorf("condition key %s is not simulated", key)
			}
			if len(values) == 0 || slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, `$\`) }) {
				return fmt.Errorf("condition key %s: values are needed, and policy variables are not simulated", key)
			}
		}
	}
	return nil
}

// knownKey reports that requests carry a condition key where AWS has them
// carry it.
func knownKey(key string) bool {
	switch key {
	case keyRegion, keyViaService, keyOverwrite, keyGrantForAWS, keyCreateAction, keyEncrypted, keyTokens, keyPassedTo:
		return true
	}
	for _, family := range []string{keyTag, keyRequestTag, keyGroupTag, keyContext} {
		if name, ok := strings.CutPrefix(key, family); ok && name != "" {
			return true
		}
	}
	return false
}
