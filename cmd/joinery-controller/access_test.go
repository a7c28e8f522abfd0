package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/joinery/joinery/autoscaler/loop"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/controlplane/labels"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/nodes"
	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/controlplane/rotation"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/deploy/rbac"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/observe"
)

// TestRightsAreThoseThatServicesDeclare holds deploy/rbac to the declarations, right
// by right: neither may name one that the other does not.
func TestRightsAreThoseThatServicesDeclare(t *testing.T) {
	declared := map[string]bool{}
	for _, service := range [][]drive.Access{
		observe.Access, binder.Access, leader.Access, posture.Access, csr.Access, nodes.Access, labels.Access, hooks.Access,
		rotation.Access, bundle.Access, token.Join.Access(), token.Legacy.Access(), loop.Access,
	} {
		for _, a := range service {
			for _, verb := range a.Verbs {
				for _, right := range rights(a.Namespace, a.Group, a.Resource, verb, a.Names) {
					declared[right] = true
				}
			}
		}
	}
	granted := map[string]bool{}
	for _, r := range roles(t) {
		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						for _, right := range rights(r.Namespace, group, resource, verb, rule.ResourceNames) {
							granted[right] = true
						}
					}
				}
			}
		}
	}
	for _, right := range slices.Sorted(maps.Keys(declared)) {
		if !granted[right] {
			t.Errorf("declared and not granted: %s", right)
		}
	}
	for _, right := range slices.Sorted(maps.Keys(granted)) {
		if !declared[right] {
			t.Errorf("granted and declared by no service: %s", right)
		}
	}
}

func rights(namespace, group, resource, verb string, names []string) (out []string) {
	if len(names) == 0 {
		names = []string{"*"}
	}
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s %s.%s %s in %q", verb, resource, group, name, namespace))
	}
	return out
}

// roles are the Roles and ClusterRoles of the manifests.
func roles(t *testing.T) (out []rbacv1.Role) {
	t.Helper()
	text, err := rbac.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	for docs := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var r rbacv1.Role // a ClusterRole has the same fields
		if err := yaml.Unmarshal(doc, &r); err != nil {
			t.Fatal(err)
		}
		if r.Kind == "Role" || r.Kind == "ClusterRole" {
			out = append(out, r)
		}
	}
}
