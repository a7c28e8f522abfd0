package doctor_test

import (
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/joinery/joinery/controlplane/doctor"
)

// Without its policy the controller's certificate is worth the cluster.
func TestAdmissionPoliciesAreExamined(t *testing.T) {
	for name, change := range map[string]func([]runtime.Object) []runtime.Object{
		"missing": func(all []runtime.Object) []runtime.Object {
			return slices.DeleteFunc(all, func(o runtime.Object) bool {
				p, ok := o.(*admissionv1.ValidatingAdmissionPolicy)
				return ok && p.Name == "joinery-controller-secrets"
			})
		},
		"unbound": func(all []runtime.Object) []runtime.Object {
			return slices.DeleteFunc(all, func(o runtime.Object) bool {
				b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding)
				return ok && b.Name == "joinery-controller-secrets"
			})
		},
		"only warns": func(all []runtime.Object) []runtime.Object {
			for _, o := range all {
				if b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok && b.Name == "joinery-controller-secrets" {
					b.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
				}
			}
			return all
		},
		"weaker": func(all []runtime.Object) []runtime.Object {
			for _, o := range all {
				if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok && p.Name == "joinery-controller-secrets" {
					p.Spec.Validations = p.Spec.Validations[1:]
				}
			}
			return all
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := examine(t, doctor.Cluster{Client: server(t, change(healthy(t))...)}, "permissions")
			if len(found) != 1 || found[0].Level != doctor.Unsafe || !strings.Contains(found[0].Found, "joinery-controller-secrets") {
				t.Errorf("found %+v", found)
			}
		})
	}
}
