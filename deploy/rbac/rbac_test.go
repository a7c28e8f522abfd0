package rbac_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/rbac"
)

// objects decodes every manifest strictly.
func objects(t *testing.T) []runtime.Object {
	t.Helper()
	text, err := rbac.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{rbacv1.AddToScheme, corev1.AddToScheme, admissionregistrationv1.AddToScheme, flowcontrolv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	var out []runtime.Object
	for docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		o, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		out = append(out, o)
	}
}

func TestBootstrapGroupIsBoundToNodeBootstrapperAlone(t *testing.T) {
	var roles []string
	for _, o := range objects(t) {
		var subjects []rbacv1.Subject
		var role string
		switch b := o.(type) {
		case *rbacv1.ClusterRoleBinding:
			subjects, role = b.Subjects, b.RoleRef.Name
		case *rbacv1.RoleBinding:
			subjects, role = b.Subjects, b.RoleRef.Name
		}
		for _, s := range subjects {
			switch {
			case s.Kind == rbacv1.GroupKind && s.Name == v1alpha1.BootstrapGroup:
				roles = append(roles, role)
			case s.Kind != rbacv1.UserKind || s.Name != "joinery-controller":
				t.Errorf("role %s: bound to %s %s", role, s.Kind, s.Name)
			}
		}
	}
	if !slices.Equal(roles, []string{"system:node-bootstrapper"}) {
		t.Errorf("the bootstrap group is bound to %q", roles)
	}
}

func TestControllerMayNotEscalate(t *testing.T) {
	clusterWide := 0
	for _, o := range objects(t) {
		var rules []rbacv1.PolicyRule
		all := false
		switch r := o.(type) {
		case *rbacv1.ClusterRole:
			rules, all = r.Rules, true
			clusterWide++
		case *rbacv1.Role:
			rules = r.Rules
		}
		for _, r := range rules {
			for _, text := range slices.Concat(r.APIGroups, r.Resources, r.Verbs, r.ResourceNames) {
				if text == "*" {
					t.Errorf("wildcard in %v", r)
				}
			}
			if all && slices.Contains(r.Resources, "secrets") {
				t.Errorf("secrets of every namespace: %v", r)
			}
			if slices.Contains(r.Resources, "signers") && !slices.Equal(r.ResourceNames, []string{"kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"}) {
				t.Errorf("signers beyond the kubelet's: %v", r)
			}
			for _, verb := range []string{"escalate", "bind", "impersonate"} {
				if slices.Contains(r.Verbs, verb) {
					t.Errorf("%s: %v", verb, r)
				}
			}
		}
	}
	if clusterWide != 1 {
		t.Errorf("%d cluster roles: expected 1", clusterWide)
	}
}

// What concerns volumes, and how pods are admitted, is looked at and never written.
func TestVolumesAreOnlyRead(t *testing.T) {
	for _, o := range objects(t) {
		role, ok := o.(*rbacv1.ClusterRole)
		if !ok {
			continue
		}
		for _, r := range role.Rules {
			for _, name := range []string{"persistentvolumeclaims", "persistentvolumes", "storageclasses", "csinodes", "volumeattachments", "csidrivers", "csistoragecapacities", "limitranges", "runtimeclasses"} {
				if slices.Contains(r.Resources, name) && !slices.Equal(r.Verbs, []string{"list", "watch"}) {
					t.Errorf("%s: verbs %v", name, r.Verbs)
				}
			}
		}
	}
}

var mention = regexp.MustCompile(`V1\(\)\.([A-Z]\w+)\(`)

// mentioned collects the resources that the controller's code names, through
// clients and informers.
func mentioned(t *testing.T, dirs ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			switch filepath.ToSlash(path) {
			case "../../controlplane/doctor", // runs with the rights of the operator who asks
				"../../controlplane/gate": // optional/metrics/metrics.yaml
				return filepath.SkipDir
			}
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range mention.FindAllSubmatch(text, -1) {
				out[strings.ToLower(string(m[1]))] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestRulesNameWhatTheCodeUsesAndNoMore(t *testing.T) {
	want := mentioned(t, "controlplane", "internal/binding", "autoscaler", "cmd/joinery-controller", "internal/drain", "internal/observe")
	delete(want, "evictions")
	// Reached by other ways: a subresource, the election's own client, and the
	// permission that a decision about a signer's requests takes.
	for _, r := range []string{"pods/eviction", "leases", "certificatesigningrequests/approval", "signers"} {
		want[r] = true
	}
	got := map[string]bool{}
	for _, o := range objects(t) {
		var rules []rbacv1.PolicyRule
		switch r := o.(type) {
		case *rbacv1.ClusterRole:
			rules = r.Rules
		case *rbacv1.Role:
			rules = r.Rules
		}
		for _, r := range rules {
			for _, name := range r.Resources {
				got[name] = true
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("rules name\n%q, the code uses\n%q", got, want)
	}
}
