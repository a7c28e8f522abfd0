package rbac_test

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Tokens for old user data may do what kubeadm needs to join a worker, and above
// all have nothing approved unseen and read no uploaded certificates.
func TestLegacyGroupIsBoundToWhatKubeadmNeeds(t *testing.T) {
	text, err := os.ReadFile("optional/legacy/legacy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{rbacv1.AddToScheme, admissionregistrationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var roles []string
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		o, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		var subjects []rbacv1.Subject
		var role rbacv1.RoleRef
		switch b := o.(type) {
		case *rbacv1.ClusterRoleBinding:
			subjects, role = b.Subjects, b.RoleRef
		case *rbacv1.RoleBinding:
			subjects, role = b.Subjects, b.RoleRef
			if b.Namespace != "kube-system" {
				t.Errorf("%s: namespace %q", b.Name, b.Namespace)
			}
		case *admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
			continue // they only take away
		case *rbacv1.Role:
			if want := []rbacv1.PolicyRule{{APIGroups: []string{"joinery.dev"}, Resources: []string{"legacytokens"}, Verbs: []string{"create"}}}; !reflect.DeepEqual(b.Rules, want) {
				t.Errorf("%s gives rights of its own: %v", b.Name, b.Rules)
			}
			continue
		default:
			t.Errorf("%T gives rights of its own", o)
		}
		if role.Name == "joinery:legacy-tokens" {
			if len(subjects) != 1 || subjects[0].Kind != rbacv1.UserKind || subjects[0].Name != "joinery-controller" {
				t.Errorf("%s is bound to %v", role.Name, subjects)
			}
			continue
		}
		if len(subjects) != 1 || subjects[0].Kind != rbacv1.GroupKind || subjects[0].Name != v1alpha1.LegacyBootstrapGroup {
			t.Errorf("%s %s is bound to %v", role.Kind, role.Name, subjects)
		}
		roles = append(roles, role.Kind+" "+role.Name)
	}
	want := []string{"ClusterRole system:node-bootstrapper", "ClusterRole kubeadm:get-nodes", "Role kubeadm:nodes-kubeadm-config", "Role kubeadm:kubelet-config"}
	if !slices.Equal(roles, want) {
		t.Errorf("roles\n%s\nwant\n%s", strings.Join(roles, "\n"), strings.Join(want, "\n"))
	}
}

// What is optional is not applied with the rest.
func TestOptionalManifestsAreNotAmongTheOthers(t *testing.T) {
	for _, o := range objects(t) {
		if b, ok := o.(*rbacv1.ClusterRoleBinding); ok && strings.Contains(b.Name, "legacy") {
			t.Errorf("%s is applied by every installation", b.Name)
		}
	}
}

// The endpoint beyond this host asks for no more than who a caller is, and what it lets
// read is the endpoint's own paths.
func TestMetricsNeedTokenReviewsAlone(t *testing.T) {
	text, err := os.ReadFile("optional/metrics/metrics.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := rbacv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	roles := 0
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		o, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		r, ok := o.(*rbacv1.ClusterRole)
		if !ok {
			continue
		}
		roles++
		for _, rule := range r.Rules {
			asks := slices.Equal(rule.Resources, []string{"tokenreviews"}) && slices.Equal(rule.Verbs, []string{"create"})
			reads := len(rule.Resources) == 0 && slices.Equal(rule.Verbs, []string{"get"}) && !slices.ContainsFunc(rule.NonResourceURLs, func(u string) bool {
				return strings.Contains(u, "*")
			})
			if !asks && !reads {
				t.Errorf("%s: %v", r.Name, rule)
			}
		}
	}
	if roles != 2 {
		t.Errorf("%d roles", roles)
	}
}
