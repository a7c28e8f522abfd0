package rbac_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Tokens for old user data may do what kubeadm needs to join a worker, and above
// all have nothing approved unseen and read no uploaded certificates.
func TestLegacyGroupIsBoundToWhatKubeadmNeeds(t *testing.T) {
	text, err := os.ReadFile("optional/legacy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := rbacv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
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
		default:
			t.Errorf("%T gives rights of its own", o)
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
