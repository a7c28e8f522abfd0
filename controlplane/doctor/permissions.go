package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/joinery/joinery/deploy/rbac"
)

// mendRights makes the objects those of the manifests, rules and subjects that
// somebody added included.
const mendRights = "kubectl auth reconcile --remove-extra-permissions --remove-extra-subjects -f deploy/rbac/"

// permissions compares Joinery's objects in the API server with the manifests of this build.
func permissions(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	text, err := rbac.Manifests()
	if err != nil {
		return nil, err
	}
	wanted, err := decodeAll(text)
	if err != nil {
		return nil, err
	}
	migrating, err := legacyObjects(ctx, c.Client)
	if err != nil {
		return nil, err
	}
	wanted = append(wanted, migrating...)
	var out []Finding
	for _, w := range wanted {
		found, err := examine(ctx, c.Client, w)
		if err != nil {
			return out, err
		}
		out = append(out, found...)
	}
	if len(out) == 0 {
		return well("all %d objects are as this build ships them", len(wanted)), nil
	}
	return out, nil
}

// legacyObjects are the manifests for tokens for legacy user data, of a cluster in
// which these tokens have rights.
func legacyObjects(ctx context.Context, client kubernetes.Interface) ([]runtime.Object, error) {
	_, err := client.RbacV1().ClusterRoleBindings().Get(ctx, rbac.LegacyBinding, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ClusterRoleBinding %s: %w", rbac.LegacyBinding, err)
	}
	return decodeAll(rbac.Legacy())
}

// examine compares one object with its manifest.
func examine(ctx context.Context, client kubernetes.Interface, want runtime.Object) ([]Finding, error) {
	g, isGuard := guardOf(want)
	title := g.title()
	missing := Finding{Level: g.level(), Found: title + " is missing", Why: g.without, Mend: g.mend()}
	if !isGuard {
		title = rightsOf(want).title()
		missing = Finding{Level: Broken, Found: title + " is missing", Why: "without it the controller or the nodes may not do their work", Mend: mendRights}
	}
	have, err := fetch(ctx, client, want)
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{missing}, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", title, err)
	case isGuard:
		now, _ := guardOf(have)
		return compareGuard(g, now), nil
	}
	return compare(rightsOf(want), rightsOf(have)), nil
}

func decodeAll(text []byte) ([]runtime.Object, error) {
	var out []runtime.Object
	for docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("decode manifest: %w", err)
		}
		out = append(out, o)
	}
}

func fetch(ctx context.Context, client kubernetes.Interface, o runtime.Object) (runtime.Object, error) {
	switch o := o.(type) {
	case *rbacv1.ClusterRole:
		return client.RbacV1().ClusterRoles().Get(ctx, o.Name, metav1.GetOptions{})
	case *rbacv1.ClusterRoleBinding:
		return client.RbacV1().ClusterRoleBindings().Get(ctx, o.Name, metav1.GetOptions{})
	case *rbacv1.Role:
		return client.RbacV1().Roles(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	case *rbacv1.RoleBinding:
		return client.RbacV1().RoleBindings(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	}
	return fetchGuard(ctx, client, o)
}

// rights is what the four kinds have in common.
type rights struct {
	kind, name string
	rules      []rbacv1.PolicyRule
	role       string
	subjects   []rbacv1.Subject
}

func rightsOf(o runtime.Object) rights {
	switch o := o.(type) {
	case *rbacv1.ClusterRole:
		return rights{kind: "ClusterRole", name: o.Name, rules: o.Rules}
	case *rbacv1.ClusterRoleBinding:
		return rights{kind: "ClusterRoleBinding", name: o.Name, role: o.RoleRef.Kind + " " + o.RoleRef.Name, subjects: o.Subjects}
	case *rbacv1.Role:
		return rights{kind: "Role", name: o.Namespace + "/" + o.Name, rules: o.Rules}
	case *rbacv1.RoleBinding:
		return rights{kind: "RoleBinding", name: o.Namespace + "/" + o.Name, role: o.RoleRef.Kind + " " + o.RoleRef.Name, subjects: o.Subjects}
	}
	return rights{kind: fmt.Sprintf("%T", o)}
}

func (r rights) title() string { return r.kind + " " + r.name }

// compare says what have lacks of want, and what it has beyond that.
func compare(want, have rights) []Finding {
	var out []Finding
	say := func(level Level, what, why string) {
		out = append(out, Finding{Level: level, Found: want.title() + " " + what, Why: why, Mend: mendRights})
	}
	const cannot, more = "the controller or the nodes may not do all of their work", "somebody or something has rights that Joinery does not need"
	if want.role != have.role {
		say(Unsafe, "binds "+have.role+" instead of "+want.role, "its subjects have other rights than those that were reviewed")
	}
	if covered, lacking := validation.Covers(have.rules, want.rules); !covered {
		say(Broken, "lacks "+rulesText(lacking), cannot)
	}
	if covered, extra := validation.Covers(want.rules, have.rules); !covered {
		say(Warning, "also allows "+rulesText(extra), more)
	}
	if lacking := without(want.subjects, have.subjects); len(lacking) > 0 {
		say(Broken, "does not bind "+some(lacking), cannot)
	}
	if extra := without(have.subjects, want.subjects); len(extra) > 0 {
		say(Warning, "also binds "+some(extra), more)
	}
	return out
}

// rulesText names rules of one verb and one resource each.
func rulesText(rules []rbacv1.PolicyRule) string {
	lines := make([]string, len(rules))
	for i, r := range rules {
		lines[i] = strings.TrimSpace(strings.Join(r.Verbs, ",") + " " + strings.Join(r.Resources, ",") + " " + strings.Join(r.ResourceNames, ",") + strings.Join(r.NonResourceURLs, ","))
	}
	return some(lines)
}

// without returns those of a that are not in b.
func without(a, b []rbacv1.Subject) []string {
	text := func(s rbacv1.Subject) string {
		return strings.TrimSpace(s.Kind + " " + strings.TrimPrefix(s.Namespace+"/"+s.Name, "/"))
	}
	var out []string
	for _, s := range a {
		if !slices.ContainsFunc(b, func(o rbacv1.Subject) bool { return text(o) == text(s) }) {
			out = append(out, text(s))
		}
	}
	return out
}
