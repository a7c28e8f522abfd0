package doctor

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// guard is an object that bounds what the holders of join tokens may send, or what
// the controller may: an admission policy, its binding, or a share of the API server.
type guard struct {
	kind, name string
	spec       any
	// without says what is possible without it.
	without string
}

const (
	unbounded = "whoever holds a join token can send requests of any size and form, which are kept in etcd and in memory"
	unlimited = "any holder of the controller's certificate can make the token of any service account, and so become cluster administrator"
	unshared  = "whoever holds a join token can take the API server from nodes and controllers"
)

// guardOf returns what there is to compare of o; false for what is no guard.
func guardOf(o runtime.Object) (guard, bool) {
	switch o := o.(type) {
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		return guard{"ValidatingAdmissionPolicy", o.Name, o.Spec, boundOf(o.Name)}, true
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		return guard{"ValidatingAdmissionPolicyBinding", o.Name, o.Spec, boundOf(o.Name)}, true
	case *flowcontrolv1.PriorityLevelConfiguration:
		return guard{"PriorityLevelConfiguration", o.Name, o.Spec, unshared}, true
	case *flowcontrolv1.FlowSchema:
		return guard{"FlowSchema", o.Name, o.Spec, unshared}, true
	}
	return guard{}, false
}

// boundOf says what is possible without the policy of that name.
func boundOf(name string) string {
	if strings.HasPrefix(name, "joinery-controller-") {
		return unlimited
	}
	return unbounded
}

// level is how bad it is that the guard is not in force.
func (g guard) level() Level {
	if g.without == unlimited {
		return Unsafe
	}
	return Warning
}

func fetchGuard(ctx context.Context, client kubernetes.Interface, o runtime.Object) (runtime.Object, error) {
	switch o := o.(type) {
	case *admissionregistrationv1.ValidatingAdmissionPolicy:
		return client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(ctx, o.Name, metav1.GetOptions{})
	case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
		return client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, o.Name, metav1.GetOptions{})
	case *flowcontrolv1.PriorityLevelConfiguration:
		return client.FlowcontrolV1().PriorityLevelConfigurations().Get(ctx, o.Name, metav1.GetOptions{})
	case *flowcontrolv1.FlowSchema:
		return client.FlowcontrolV1().FlowSchemas().Get(ctx, o.Name, metav1.GetOptions{})
	}
	return nil, fmt.Errorf("a manifest holds a %T", o)
}

// mend is the command that makes the guard what it is shipped as.
func (g guard) mend() string {
	if strings.HasPrefix(g.name, "joinery-legacy-") {
		return "kubectl apply -f deploy/rbac/optional/legacy/legacy.yaml"
	}
	return "kubectl apply -f deploy/rbac/"
}

func (g guard) title() string { return g.kind + " " + g.name }

// compareGuard says whether a guard is in force as it is shipped. The manifests
// have every default of the API server written out.
func compareGuard(want, have guard) []Finding {
	if equality.Semantic.DeepEqual(want.spec, have.spec) {
		return nil
	}
	return []Finding{{Level: want.level(), Found: want.title() + " is not as this build ships it", Why: "it may bound less than was reviewed: " + want.without, Mend: want.mend()}}
}
