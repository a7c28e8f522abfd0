package doctor_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/deploy/rbac"
)

// manifests decodes what an operator applies.
func manifests(t *testing.T) []runtime.Object {
	t.Helper()
	text, err := rbac.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	out := decode(t, text)
	if len(out) < 5 {
		t.Fatalf("only %d manifests", len(out))
	}
	return out
}

func decode(t *testing.T, text []byte) []runtime.Object {
	t.Helper()
	var out []runtime.Object
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		doc = bytes.TrimPrefix(doc, []byte("---\n"))
		o, _, err := scheme.Codecs.UniversalDeserializer().Decode(doc, nil, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		out = append(out, o)
	}
	return out
}

// legacyRights are what a migration gives the tokens for legacy user data, without
// the policy that bounds them.
func legacyRights(t *testing.T) []runtime.Object {
	t.Helper()
	return slices.DeleteFunc(decode(t, rbac.Legacy()), func(o runtime.Object) bool {
		_, policy := o.(*admissionregistrationv1.ValidatingAdmissionPolicy)
		_, binding := o.(*admissionregistrationv1.ValidatingAdmissionPolicyBinding)
		return policy || binding
	})
}

func role(name, right string) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests/" + right}, Verbs: []string{"create"}},
	}}
}

// The roles that every cluster has.
var (
	nodeClient     = role("system:certificates.k8s.io:certificatesigningrequests:nodeclient", "nodeclient")
	selfNodeClient = role("system:certificates.k8s.io:certificatesigningrequests:selfnodeclient", "selfnodeclient")
)

func bind(name string, r *rbacv1.ClusterRole, groups ...string) *rbacv1.ClusterRoleBinding {
	b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: r.Name}}
	for _, g := range groups {
		b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: g})
	}
	return b
}

func pod(name, component string, command ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, Labels: map[string]string{"component": component}},
		Spec:       corev1.PodSpec{NodeName: "master-1", Containers: []corev1.Container{{Name: component, Command: append([]string{component}, command...)}}},
	}
}

// Flags as kubeadm 1.37 writes them.
var (
	apiServerCommand = []string{"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--enable-bootstrap-token-auth=true"}
	managerCommand   = []string{"--controllers=*,bootstrap-signer-controller,token-cleaner-controller", "--cluster-signing-duration=168h"}
)

func lease(holder string, renewed time.Time) *coordinationv1.Lease {
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-controller"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at},
	}
}

func tokenSecret(id, cluster string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-" + id},
		Type:       corev1.SecretTypeBootstrapToken, Data: map[string][]byte{"token-id": []byte(id), "token-secret": []byte(canary)},
	}
	if cluster != "" {
		s.Labels = map[string]string{"joinery.dev/cluster": cluster}
	}
	for k, v := range data {
		s.Data[k] = []byte(v)
	}
	return s
}

// canary is the secret half of every token here. Nothing may show it.
const canary = "ca9a2ycanary7777"

func request(name, signer, user string, age time.Duration) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Now().Add(-age))},
		Spec:       certificatesv1.CertificateSigningRequestSpec{SignerName: signer, Username: user},
	}
}

// healthy is a cluster without a fault.
func healthy(t *testing.T) []runtime.Object {
	return append(manifests(t), nodeClient, selfNodeClient,
		pod("kube-apiserver-1", "kube-apiserver", apiServerCommand...),
		pod("kube-controller-manager-1", "kube-controller-manager", managerCommand...),
		lease("master-1_8d3f", time.Now()),
		tokenSecret("abcdef", "demo", map[string]string{"usage-bootstrap-authentication": "true", "expiration": time.Now().Add(time.Hour).Format(time.RFC3339)}),
	)
}

// instead replaces the objects of the same kind and name.
func instead(t *testing.T, all []runtime.Object, with ...runtime.Object) []runtime.Object {
	for _, w := range with {
		at := slices.IndexFunc(all, func(o runtime.Object) bool { return title(o) == title(w) })
		if at < 0 {
			all = append(all, w)
			continue
		}
		all = slices.Clone(all)
		all[at] = w
	}
	return all
}

func title(o runtime.Object) string {
	m, ok := o.(metav1.Object)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%T %s/%s", o, m.GetNamespace(), m.GetName())
}

// server is an API server with these objects, whose authorizer knows its
// bindings as the RBAC authorizer does.
func server(t *testing.T, objects ...runtime.Object) *fake.Clientset {
	t.Helper()
	client := fake.NewClientset(objects...)
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		sar := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		for _, o := range objects {
			b, ok := o.(*rbacv1.ClusterRoleBinding)
			if !ok || !covers(objects, b.RoleRef.Name, sar.Spec.ResourceAttributes) {
				continue
			}
			for _, s := range b.Subjects {
				if s.Kind == rbacv1.GroupKind && slices.Contains(sar.Spec.Groups, s.Name) {
					allow(sar, fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of ClusterRole %q to Group %q", b.Name, b.RoleRef.Name, s.Name))
				}
			}
		}
		return true, sar, nil
	})
	return client
}

// covers says whether the ClusterRole of that name allows what is asked.
func covers(objects []runtime.Object, role string, asked *authorizationv1.ResourceAttributes) bool {
	wanted := []rbacv1.PolicyRule{{APIGroups: []string{asked.Group}, Resources: []string{asked.Resource + "/" + asked.Subresource}, Verbs: []string{asked.Verb}}}
	for _, o := range objects {
		if r, ok := o.(*rbacv1.ClusterRole); ok && r.Name == role {
			ok, _ := validation.Covers(r.Rules, wanted)
			return ok
		}
	}
	return false
}

// examine returns what one check finds.
func examine(t *testing.T, c doctor.Cluster, check string) []doctor.Finding {
	t.Helper()
	var out []doctor.Finding
	for _, f := range doctor.Examine(t.Context(), c) {
		if f.Check == check {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		t.Fatalf("check %s says nothing", check)
	}
	return out
}

func allow(o runtime.Object, reason string) {
	if sar, ok := o.(*authorizationv1.SubjectAccessReview); ok {
		sar.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: reason}
	}
}
