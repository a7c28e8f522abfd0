package rbac_test

import (
	"context"
	"encoding/base64"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/token"
)

// judge returns what the API server's own evaluator says against the creation of
// o by the controller under a policy; nothing when it is admitted.
func judge(t *testing.T, policy string, o metav1.Object, kind schema.GroupVersionKind, resource string, legacy bool) []string {
	t.Helper()
	spec := policyOf(t, policy).Spec
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	known := plugincel.OptionalVariableDeclarations{HasAuthorizer: true}
	for _, v := range spec.Variables {
		if r := compiler.CompileAndStoreVariable(term{name: v.Name, text: v.Expression, returns: cel.DynType}, known, environment.NewExpressions); r.Error != nil {
			t.Fatalf("%s: %v", v.Name, r.Error)
		}
	}
	var conditions []plugincel.ExpressionAccessor
	for _, v := range spec.Validations {
		conditions = append(conditions, term{text: v.Expression, returns: cel.BoolType})
	}
	evaluator := compiler.CompileCondition(conditions, known, environment.NewExpressions)
	if errs := evaluator.CompilationErrors(); len(errs) > 0 {
		t.Fatal(errs)
	}
	by := &user.DefaultInfo{Name: "joinery-controller", Groups: []string{"system:authenticated"}}
	gvr := kind.GroupVersion().WithResource(resource)
	object := o.(runtime.Object)
	attributes := admission.NewAttributesRecord(object, nil, kind, o.GetNamespace(), o.GetName(), gvr, "", admission.Create, &metav1.CreateOptions{}, false, by)
	request := plugincel.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(gvr), metav1.GroupVersionKind(kind))
	results, _, err := evaluator.ForInput(t.Context(), &admission.VersionedAttributes{Attributes: attributes, VersionedKind: kind, VersionedObject: admission.NewLazyObject(object)},
		request, plugincel.OptionalVariableBindings{Authorizer: legacyRight(legacy)}, nil, 10_000_000)
	if err != nil {
		t.Fatal(err)
	}
	var against []string
	for i, r := range results {
		if r.Error != nil {
			against = append(against, r.Error.Error())
		} else if r.EvalResult.Value() != true {
			against = append(against, spec.Validations[i].Expression)
		}
	}
	return against
}

// term is one of a policy's, as the compiler takes it.
type term struct {
	name, text string
	returns    *cel.Type
}

func (e term) GetExpression() string    { return e.text }
func (e term) GetName() string          { return e.name }
func (e term) ReturnTypes() []*cel.Type { return []*cel.Type{cel.AnyType, e.returns} }

// legacyRight is an authorizer that knows whether optional/legacy/legacy.yaml is applied.
type legacyRight bool

func (l legacyRight) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if bool(l) && a.GetAPIGroup() == "joinery.dev" && a.GetResource() == "legacytokens" && a.GetVerb() == "create" && a.GetNamespace() == "kube-system" {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "", nil
}

func policyOf(t *testing.T, name string) *admissionv1.ValidatingAdmissionPolicy {
	t.Helper()
	for _, o := range objects(t) {
		if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok && p.Name == name {
			return p
		}
	}
	t.Fatalf("no policy %s", name)
	return nil
}

// Every policy is bound, denies, and fails closed.
func TestPoliciesAreEnforced(t *testing.T) {
	bound := map[string]bool{}
	for _, o := range objects(t) {
		if b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok {
			bound[b.Spec.PolicyName] = slices.Equal(b.Spec.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) && b.Spec.MatchResources == nil
		}
	}
	for _, name := range []string{"joinery-controller-secrets", "joinery-controller-names"} {
		p := policyOf(t, name)
		if !bound[name] || *p.Spec.FailurePolicy != admissionv1.Fail || p.Spec.MatchConditions[0].Expression != "request.userInfo.username == 'joinery-controller'" {
			t.Errorf("%s is not enforced", name)
		}
	}
}

// made is a token as the rotator makes it, by its own code.
func made(t *testing.T, p token.Purpose, life time.Duration) *corev1.Secret {
	t.Helper()
	now := time.Now()
	s, err := token.NewSecret("demo", p, p.IDs()[11], now, now.Add(life))
	if err != nil {
		t.Fatal(err)
	}
	s.CreationTimestamp = metav1.NewTime(now)
	return s
}

func TestControllerMakesJoinTokensAndNothingElse(t *testing.T) {
	secrets := corev1.SchemeGroupVersion.WithKind("Secret")
	data := func(k, v string) func(*corev1.Secret) { return func(s *corev1.Secret) { s.Data[k] = []byte(v) } }
	for name, tt := range map[string]struct {
		purpose  token.Purpose
		life     time.Duration
		change   func(*corev1.Secret)
		legacy   bool
		admitted bool
	}{
		"a join token":             {life: 3 * time.Hour, admitted: true},
		"one of the longest life":  {life: 24 * time.Hour, admitted: true},
		"one for old user data":    {purpose: token.Legacy, life: time.Hour, legacy: true, admitted: true},
		"that without the right":   {purpose: token.Legacy, life: time.Hour},
		"one of two days":          {life: 48 * time.Hour},
		"one without an end":       {change: func(s *corev1.Secret) { delete(s.Data, "expiration") }},
		"one with an empty end":    {change: data("expiration", "")},
		"one with another end":     {change: data("expiration", "9999-12-31T23:59:59+01:00")},
		"one with a far end":       {change: data("expiration", "2999-01-01T00:00:00Z")},
		"one with a senseless end": {change: data("expiration", "not a point in time!")},
		"a service account's":      {change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeServiceAccountToken }},
		"an opaque one":            {change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }},
		"another id":               {change: func(s *corev1.Secret) { s.Name = "bootstrap-token-abcdef" }},
		"another name":             {change: func(s *corev1.Secret) { s.Name = "kubeadm-certs" }},
		"another namespace":        {change: func(s *corev1.Secret) { s.Namespace = "default" }},
		"kubeadm's group":          {change: data("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token")},
		"a second group":           {change: data("auth-extra-groups", "system:bootstrappers:joinery:node,system:bootstrappers:other")},
		"no group":                 {change: func(s *corev1.Secret) { delete(s.Data, "auth-extra-groups") }},
		"the weaker group":         {change: data("auth-extra-groups", "system:bootstrappers:joinery:legacy")},
		"signing":                  {change: data("usage-bootstrap-signing", "true")},
		"signing with the right":   {change: data("usage-bootstrap-signing", "true"), legacy: true},
		"another key":              {change: data("kubeconfig", "x")},
		"no data":                  {change: func(s *corev1.Secret) { s.Data = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := made(t, tt.purpose, max(tt.life, time.Hour))
			if tt.change != nil {
				tt.change(s)
			}
			against := judge(t, "joinery-controller-secrets", s, secrets, "secrets", tt.legacy)
			if (len(against) == 0) != tt.admitted {
				t.Errorf("admitted %t: %s", len(against) == 0, strings.Join(against, "\n"))
			}
		})
	}
}

// What the controller may create are the objects that its Role lets it update.
func TestControllerCreatesItsOwnNamesAlone(t *testing.T) {
	for _, name := range updatable(t, "configmaps") {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
		if against := judge(t, "joinery-controller-names", o, corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps", false); len(against) > 0 {
			t.Errorf("ConfigMap %s: %v", name, against)
		}
	}
	for _, name := range updatable(t, "leases") {
		o := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
		if against := judge(t, "joinery-controller-names", o, coordinationv1.SchemeGroupVersion.WithKind("Lease"), "leases", false); len(against) > 0 {
			t.Errorf("Lease %s: %v", name, against)
		}
	}
	for _, o := range []*corev1.ConfigMap{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-adopted"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-controller"}},
		{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "joinery-grants"}},
	} {
		if against := judge(t, "joinery-controller-names", o, corev1.SchemeGroupVersion.WithKind("ConfigMap"), "configmaps", false); len(against) == 0 {
			t.Errorf("ConfigMap %s/%s may be created", o.Namespace, o.Name)
		}
	}
}

// updatable lists the names of a resource in kube-system that the controller may
// update.
func updatable(t *testing.T, resource string) []string {
	t.Helper()
	var out []string
	for _, o := range objects(t) {
		if r, ok := o.(*rbacv1.Role); ok && r.Namespace == "kube-system" {
			for _, rule := range r.Rules {
				if slices.Contains(rule.Resources, resource) && slices.Contains(rule.Verbs, "update") {
					out = append(out, rule.ResourceNames...)
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no %s may be updated", resource)
	}
	return out
}

// The Role names the ring's Secrets; beyond them it allows their creation only.
func TestControllerReadsNoSecretButItsTokens(t *testing.T) {
	named := map[string]bool{}
	for _, o := range objects(t) {
		r, ok := o.(*rbacv1.Role)
		if !ok {
			continue
		}
		for _, rule := range r.Rules {
			if !slices.Contains(rule.Resources, "secrets") {
				continue
			}
			if len(rule.ResourceNames) == 0 && !slices.Equal(rule.Verbs, []string{"create"}) {
				t.Errorf("%s: %v of all Secrets", r.Name, rule.Verbs)
			}
			for _, n := range rule.ResourceNames {
				named[n] = true
			}
		}
	}
	want := slices.Sorted(slices.Values(slices.Concat(token.Join.SecretNames(), token.Legacy.SecretNames())))
	if got := slices.Sorted(maps.Keys(named)); !slices.Equal(got, want) {
		t.Errorf("the Role names\n%q, the rotators use\n%q", got, want)
	}
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// What the code makes and what the policy compares with are in two places.
func TestPolicyNamesTheGroupsOfTheCode(t *testing.T) {
	text, err := os.ReadFile("controller-policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{v1alpha1.BootstrapGroup, v1alpha1.LegacyBootstrapGroup} {
		if !strings.Contains(string(text), encoded(group)) {
			t.Errorf("%s is not in the policy", group)
		}
	}
}
