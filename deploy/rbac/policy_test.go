package rbac_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	celgo "github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/joinery/joinery/api/v1alpha1"
)

// expression is one of a policy's, as the API server compiles it.
type expression string

// GetExpression returns the text.
func (e expression) GetExpression() string { return string(e) }

// ReturnTypes are those of a condition.
func (expression) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.BoolType} }

// policies returns those of a manifest by their names, each with a binding.
func policies(t *testing.T, file string) map[string]*admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out, bound := map[string]*admissionregistrationv1.ValidatingAdmissionPolicy{}, map[string]bool{}
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		o, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		switch o := o.(type) {
		case *admissionregistrationv1.ValidatingAdmissionPolicy:
			out[o.Name] = o
		case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
			bound[o.Spec.PolicyName] = slices.Equal(o.Spec.ValidationActions, []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}) && o.Spec.MatchResources == nil
		}
	}
	for name, p := range out {
		if !bound[name] || p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admissionregistrationv1.Fail {
			t.Errorf("%s is not in force for all that it names", name)
		}
	}
	return out
}

// refusals evaluates a policy as an API server of that version does, and returns
// the messages of the validations that fail; nil when the policy does not match.
func refusals(t *testing.T, p *admissionregistrationv1.ValidatingAdmissionPolicy, v string, o runtime.Object, groups ...string) []string {
	t.Helper()
	compiler := cel.NewConditionCompiler(environment.MustBaseEnvSet(version.MustParse(v)))
	evaluate := func(all []cel.ExpressionAccessor) []bool {
		e := compiler.CompileCondition(all, cel.OptionalVariableDeclarations{HasAuthorizer: false}, environment.NewExpressions)
		if errs := e.CompilationErrors(); len(errs) > 0 {
			t.Fatalf("Kubernetes %s does not compile %s: %v", v, p.Name, errs)
		}
		attr := &admission.VersionedAttributes{VersionedObject: admission.NewLazyObject(o), VersionedKind: certificatesv1.SchemeGroupVersion.WithKind("CertificateSigningRequest")}
		results, _, err := e.ForInput(t.Context(), attr, &admissionv1.AdmissionRequest{UserInfo: authenticationv1.UserInfo{Groups: groups}}, cel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
		if err != nil {
			t.Fatal(err)
		}
		var out []bool
		for _, r := range results {
			out = append(out, r.Error == nil && r.EvalResult != nil && r.EvalResult.Value() == true)
		}
		return out
	}
	var conditions, validations []cel.ExpressionAccessor
	for _, m := range p.Spec.MatchConditions {
		conditions = append(conditions, expression(m.Expression))
	}
	for _, v := range p.Spec.Validations {
		validations = append(validations, expression(v.Expression))
	}
	for _, matches := range evaluate(conditions) {
		if !matches {
			return nil
		}
	}
	var out []string
	for i, ok := range evaluate(validations) {
		if !ok {
			out = append(out, p.Spec.Validations[i].Message)
		}
	}
	return out
}

// versions are the oldest and the newest API server that Joinery runs with.
var versions = []string{"1.31", "1.37"}

// seen returns a request in the two forms in which API servers of these versions
// show it to an expression: typed, and as JSON with its bytes in base64.
func seen(t *testing.T, c *certificatesv1.CertificateSigningRequest) []runtime.Object {
	t.Helper()
	c.APIVersion, c.Kind = "certificates.k8s.io/v1", "CertificateSigningRequest"
	plain, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
	if err != nil {
		t.Fatal(err)
	}
	return []runtime.Object{c, &unstructured.Unstructured{Object: plain}}
}

// agents is what an agent sends, as the API server has it when it admits it.
func agents() *certificatesv1.CertificateSigningRequest {
	seconds := int32(600)
	c := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{
		Name: "joinery-ip-10-99-0-12.us-west-2.compute.internal-x7k2p", GenerateName: "joinery-ip-10-99-0-12.us-west-2.compute.internal-",
		Annotations:   map[string]string{v1alpha1.STSProofAnnotation: "https://sts.us-west-2.amazonaws.com/?Action=GetCallerIdentity&X-Amz-Security-Token=" + strings.Repeat("a%2F", 600)},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "joinery-agent", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "certificates.k8s.io/v1"}},
	}}
	c.Spec.Request = bytes.Repeat([]byte("x"), 1000)
	c.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
	c.Spec.ExpirationSeconds = &seconds
	c.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
	return c
}

func TestJoinTokensMayMakeTheAgentsRequestOnly(t *testing.T) {
	p := policies(t, "holders-policy.yaml")["joinery-bootstrap-requests"]
	long := int32(601)
	for _, test := range []struct {
		name   string
		change func(*certificatesv1.CertificateSigningRequest)
		want   string // part of the one message
	}{
		{"the agent's", func(*certificatesv1.CertificateSigningRequest) {}, ""},
		{"without a proof", func(c *certificatesv1.CertificateSigningRequest) { c.Annotations = nil }, ""},
		{"the largest proof and request", func(c *certificatesv1.CertificateSigningRequest) {
			c.Annotations[v1alpha1.STSProofAnnotation], c.Spec.Request = strings.Repeat("x", v1alpha1.MaxProofBytes), bytes.Repeat([]byte("x"), 4<<10)
		}, ""},
		{"another signer", func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		}, "may ask the signer"},
		{"serving", func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.SignerName = certificatesv1.KubeletServingSignerName
		}, "may ask the signer"},
		{"another usage", func(c *certificatesv1.CertificateSigningRequest) { c.Spec.Usages[0] = certificatesv1.UsageServerAuth }, "usages"},
		{"one usage twice", func(c *certificatesv1.CertificateSigningRequest) { c.Spec.Usages[0] = certificatesv1.UsageClientAuth }, "usages"},
		{"a usage more", func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		}, "usages"},
		{"a longer life", func(c *certificatesv1.CertificateSigningRequest) { c.Spec.ExpirationSeconds = &long }, "600 seconds"},
		{"any life", func(c *certificatesv1.CertificateSigningRequest) { c.Spec.ExpirationSeconds = nil }, "600 seconds"},
		{"a large request", func(c *certificatesv1.CertificateSigningRequest) { c.Spec.Request = bytes.Repeat([]byte("x"), 6<<10) }, "certificate request"},
		{"another name", func(c *certificatesv1.CertificateSigningRequest) { c.Name = "csr-x7k2p" }, "begins with joinery-"},
		{"a name that is no DNS name", func(c *certificatesv1.CertificateSigningRequest) { c.Name = "joinery-A_b" }, "begins with joinery-"},
		{"another annotation", func(c *certificatesv1.CertificateSigningRequest) { c.Annotations["x"] = "" }, "annotation"},
		{"a large proof", func(c *certificatesv1.CertificateSigningRequest) {
			c.Annotations[v1alpha1.STSProofAnnotation] += strings.Repeat("x", 8<<10)
		}, "annotation"},
		{"a proof of wide characters", func(c *certificatesv1.CertificateSigningRequest) {
			c.Annotations[v1alpha1.STSProofAnnotation] = strings.Repeat("€", 8<<10)
		}, "annotation"},
		{"a label", func(c *certificatesv1.CertificateSigningRequest) { c.Labels = map[string]string{"x": "y"} }, "no labels"},
		{"a finalizer", func(c *certificatesv1.CertificateSigningRequest) { c.Finalizers = []string{"x/y"} }, "no labels"},
		{"an owner", func(c *certificatesv1.CertificateSigningRequest) {
			c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "x", UID: "y"}}
		}, "no labels"},
		{"managed fields of its own", func(c *certificatesv1.CertificateSigningRequest) {
			c.ManagedFields = append(c.ManagedFields, metav1.ManagedFieldsEntry{Manager: "x"})
		}, "managed fields"},
	} {
		for _, v := range versions {
			c := agents()
			test.change(c)
			for _, o := range seen(t, c) {
				got := refusals(t, p, v, o, "system:bootstrappers", v1alpha1.BootstrapGroup)
				if ok := test.want == "" && len(got) == 0 || len(got) == 1 && test.want != "" && strings.Contains(got[0], test.want); !ok {
					t.Errorf("%s, Kubernetes %s, %T: refused for %q: expected %q", test.name, v, o, got, test.want)
				}
			}
		}
	}
	other := agents()
	other.Spec.SignerName = "example.com/theirs"
	if got := refusals(t, p, "1.37", other, "system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"); got != nil {
		t.Errorf("a request of others is refused: %q", got)
	}
}

func TestLegacyTokensMayMakeTheKubeletsRequestOnly(t *testing.T) {
	p := policies(t, "optional/legacy/legacy.yaml")["joinery-legacy-requests"]
	kubelets := func() *certificatesv1.CertificateSigningRequest {
		c := agents()
		c.Name, c.GenerateName, c.Annotations, c.Spec.ExpirationSeconds = "node-csr-c69HXe7aYcqkS1bKmH4faEnHAWxn6i2bHZ2mD04jZyQ", "", nil, nil
		return c
	}
	for name, test := range map[string]struct {
		change func(*certificatesv1.CertificateSigningRequest)
		want   int
	}{
		"the kubelet's": {func(*certificatesv1.CertificateSigningRequest) {}, 0},
		"an older kubelet's": {func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		}, 0},
		"another signer": {func(c *certificatesv1.CertificateSigningRequest) { c.Spec.SignerName = "x/y" }, 1},
		"another usage": {func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageServerAuth)
		}, 1},
		"an annotation": {func(c *certificatesv1.CertificateSigningRequest) { c.Annotations = map[string]string{"x": "y"} }, 1},
		"another name":  {func(c *certificatesv1.CertificateSigningRequest) { c.Name = "joinery-x" }, 1},
		"too large":     {func(c *certificatesv1.CertificateSigningRequest) { c.Spec.Request = bytes.Repeat([]byte("x"), 6<<10) }, 1},
	} {
		for _, v := range versions {
			c := kubelets()
			test.change(c)
			for _, o := range seen(t, c) {
				if got := refusals(t, p, v, o, "system:bootstrappers", v1alpha1.LegacyBootstrapGroup); len(got) != test.want {
					t.Errorf("%s, Kubernetes %s, %T: refused for %q", name, v, o, got)
				}
			}
		}
	}
}

// The token's holders have a level of their own, which takes from nobody and which
// nothing but they fall into.
func TestTokensShareASmallPartOfTheAPIServer(t *testing.T) {
	var level *flowcontrolv1.PriorityLevelConfiguration
	var schema *flowcontrolv1.FlowSchema
	for _, o := range objects(t) {
		switch o := o.(type) {
		case *flowcontrolv1.PriorityLevelConfiguration:
			level = o
		case *flowcontrolv1.FlowSchema:
			schema = o
		}
	}
	if level == nil || schema == nil || schema.Spec.PriorityLevelConfiguration.Name != level.Name {
		t.Fatalf("level %v, schema %v", level, schema)
	}
	l := level.Spec.Limited
	if l == nil || *l.NominalConcurrencyShares > 10 || *l.BorrowingLimitPercent != 0 || l.LimitResponse.Type != flowcontrolv1.LimitResponseTypeQueue {
		t.Errorf("level %+v", l)
	}
	var groups []string
	for _, s := range schema.Spec.Rules[0].Subjects {
		groups = append(groups, s.Group.Name)
	}
	if !slices.Equal(groups, []string{v1alpha1.BootstrapGroup, v1alpha1.LegacyBootstrapGroup}) || len(schema.Spec.Rules) != 1 {
		t.Errorf("the level is of %q", groups)
	}
}
