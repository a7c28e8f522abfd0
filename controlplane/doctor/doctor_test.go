package doctor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
)

func TestAHealthyClusterIsWell(t *testing.T) {
	found := doctor.Examine(t.Context(), doctor.Cluster{Client: server(t, healthy(t)...), Name: "demo"})
	for _, f := range found {
		want := doctor.OK
		if f.Check == "join-bundle" || f.Check == "proofs" || f.Check == "client-certificate" || f.Check == "images" {
			want = doctor.Skipped // no AWS, no settings and no file were given
		}
		if f.Level != want || f.Why != "" || f.Mend != "" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) != 15 {
		t.Errorf("%d findings: expected one of each check", len(found))
	}
}

// want is one finding, by what its texts contain.
type want struct {
	level            doctor.Level
	found, why, mend string
}

func TestFaultsAreFound(t *testing.T) {
	const (
		kubeadmGroup = "system:bootstrappers:kubeadm:default-node-token"
		clientSigner = certificatesv1.KubeAPIServerClientKubeletSignerName
		serving      = certificatesv1.KubeletServingSignerName
		auth         = "usage-bootstrap-authentication"
	)
	ago, ahead := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	decided := request("csr-9", clientSigner, "system:bootstrap:abcdef", time.Hour)
	decided.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied}}
	shared := bind("everybody", nodeClient, "example:admins", "system:bootstrappers", "system:unauthenticated")
	builtin := bind("cluster-admin", nodeClient, "system:unauthenticated")
	builtin.Labels = map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}
	for _, tt := range []struct {
		name, check string
		with        []runtime.Object
		want        []want
	}{
		{"kubeadm's default bindings", "auto-approval", []runtime.Object{
			bind("kubeadm:node-autoapprove-bootstrap", nodeClient, kubeadmGroup), bind("kubeadm:node-autoapprove-certificate-rotation", selfNodeClient, "system:nodes"),
		}, []want{
			{doctor.Unsafe, "kubeadm's default group (nodeclient)", "any node, masters included", "kubectl delete clusterrolebinding kubeadm:node-autoapprove-bootstrap"},
			{doctor.Unsafe, "a node (selfnodeclient)", "stolen", "kubectl delete clusterrolebinding kubeadm:node-autoapprove-certificate-rotation"},
		}},
		{"a binding that is of use to others too", "auto-approval", []runtime.Object{shared}, []want{{
			doctor.Unsafe, "a bootstrap token of Joinery (nodeclient), a token for old user data (nodeclient), a token of kubeadm's default group (nodeclient), any bootstrap token (nodeclient), an anonymous requester (nodeclient)", "",
			`kubectl patch clusterrolebinding everybody --type=json -p '[{"op":"test","path":"/subjects/2/name","value":"system:unauthenticated"},{"op":"remove","path":"/subjects/2"},{"op":"test","path":"/subjects/1/name","value":"system:bootstrappers"},{"op":"remove","path":"/subjects/1"}]'`,
		}}},
		{"a binding that Kubernetes makes itself is not deleted", "auto-approval", []runtime.Object{builtin},
			[]want{{doctor.Unsafe, "cluster-admin", "", "kubectl patch clusterrolebinding cluster-admin "}}},
		{"a right that is of no use", "auto-approval", []runtime.Object{bind("own", selfNodeClient, "system:bootstrappers:joinery:node")},
			[]want{{doctor.Warning, "own", "no use", "kubectl delete clusterrolebinding own"}}},

		{"tokens that may do more", "token-rights", []runtime.Object{
			bind("readers", &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "view"}}, "example:all", "system:bootstrappers"),
			bind("approved", nodeClient, "system:bootstrappers:joinery:node"), // auto-approval says it
			&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "config"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "kubeadm:kubelet-config"},
				Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: "system:bootstrappers:joinery:node"}}},
		}, []want{
			{doctor.Warning, "clusterrolebinding readers gives ClusterRole view to system:bootstrappers", "who holds a token", "kubectl edit clusterrolebinding readers"},
			{doctor.Warning, "rolebinding -n kube-system config gives Role kubeadm:kubelet-config", "", "kubectl edit rolebinding -n kube-system config"},
		}},

		{"flags that are off", "api-server-flags", []runtime.Object{pod("kube-apiserver-1", "kube-apiserver", "--authorization-mode=RBAC")}, []want{
			{doctor.Unsafe, "kube-apiserver-1: admission plugin NodeRestriction is off", "other nodes", "on master-1: sudoedit /etc/kubernetes/manifests/kube-apiserver.yaml"},
			{doctor.Unsafe, "lacks Node", "", "--authorization-mode=Node,RBAC"},
			{doctor.Broken, "bootstrap tokens do not authenticate", "", "--enable-bootstrap-token-auth=true"},
		}},
		{"one master of two", "api-server-flags", []runtime.Object{pod("kube-apiserver-2", "kube-apiserver", "--authorization-mode", "AlwaysAllow", "--enable-bootstrap-token-auth", "--enable-admission-plugins=NodeRestriction")},
			[]want{{doctor.Unsafe, "kube-apiserver-2: authorization mode is AlwaysAllow", "everybody", ""}}},
		{"disabled again", "api-server-flags", []runtime.Object{pod("kube-apiserver-1", "kube-apiserver", append(apiServerCommand, "--disable-admission-plugins=NodeRestriction")...)},
			[]want{{doctor.Unsafe, "NodeRestriction is off", "", ""}}},
		{"a file that is not read", "api-server-flags", []runtime.Object{pod("kube-apiserver-1", "kube-apiserver", append(apiServerCommand[1:], "--authorization-config=/etc/a.yaml")...)},
			[]want{{doctor.Unknown, "/etc/a.yaml", "", ""}}},

		{"nothing is signed", "controller-manager-flags", []runtime.Object{pod("kube-controller-manager-1", "kube-controller-manager", "--controllers=*,-csrsigning,tokencleaner", "--cluster-signing-duration=24h")},
			[]want{{doctor.Broken, "certificatesigningrequest-signing-controller is off", "never becomes a certificate", "-csrsigning"}}},
		{"tokens stay", "controller-manager-flags", []runtime.Object{pod("kube-controller-manager-1", "kube-controller-manager", "--controllers=*", "--cluster-signing-duration=336h")},
			[]want{{doctor.Warning, "token-cleaner-controller is off", "", "token-cleaner-controller"}}},
		{"a list without a star", "controller-manager-flags", []runtime.Object{pod("kube-controller-manager-1", "kube-controller-manager", "--controllers=token-cleaner-controller", "--cluster-signing-duration", "168h")},
			[]want{{doctor.Broken, "signing-controller is off", "", ""}}},

		{"certificates for a year", "controller-manager-flags", []runtime.Object{pod("kube-controller-manager-1", "kube-controller-manager", managerCommand[0])},
			[]want{{doctor.Warning, "good for 365 days", "a key that is stolen", "--cluster-signing-duration=168h"}}},
		{"certificates for no known time", "controller-manager-flags", []runtime.Object{pod("kube-controller-manager-1", "kube-controller-manager", managerCommand[0], "--cluster-signing-duration=soon")},
			[]want{{doctor.Unknown, `"soon"`, "", "168h"}}},
		{"nodes that neither joined nor were adopted", "certificates", []runtime.Object{
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old", UID: "1"}, Spec: corev1.NodeSpec{ProviderID: "aws:///us-west-2a/i-0123456789abcdef0"}},
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "joined", UID: "2", Labels: map[string]string{binding.AdmittedLabel: "2"}}, Spec: corev1.NodeSpec{ProviderID: "aws:///us-west-2a/i-0123456789abcdef1"}},
			bind("kubeadm:node-autoapprove-certificate-rotation", selfNodeClient, "system:nodes"),
		}, []want{
			{doctor.Broken, "node old loses its client certificate at its end, once kubeadm's binding kubeadm:node-autoapprove-certificate-rotation is removed: NotAdmitted", "kubelet", "joinery adopt --config /etc/joinery/controller.yaml old"},
			{doctor.Skipped, "1 nodes were not looked at", "", ""},
		}},
		{"a record that cannot be read", "certificates", []runtime.Object{
			&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old", UID: "1"}},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: binder.RecordsName}, Data: map[string]string{"old": "{"}},
		}, []want{{doctor.Broken, "old", "held", "joinery adopt --remove old"}}},

		{"rules and subjects that differ", "permissions", []runtime.Object{
			&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery:controller"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}}},
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "joinery:bootstrap"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "cluster-admin"},
				Subjects: []rbacv1.Subject{{Kind: "Group", Name: "example:all"}}},
		}, []want{
			{doctor.Unsafe, "joinery:bootstrap binds ClusterRole cluster-admin instead of ClusterRole system:node-bootstrapper", "", "kubectl auth reconcile"},
			{doctor.Broken, "joinery:bootstrap does not bind Group system:bootstrappers:joinery:node", "", ""},
			{doctor.Warning, "joinery:bootstrap also binds Group example:all", "", ""},
			{doctor.Broken, "Role kube-system/joinery:controller lacks", "", ""},
			{doctor.Warning, "Role kube-system/joinery:controller also allows get pods", "", ""},
		}},

		{"bounds on tokens that were loosened", "permissions", []runtime.Object{
			&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "joinery-bootstrap-requests"}},
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "joinery-bootstrap-requests"}, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: "joinery-bootstrap-requests", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit},
			}},
			&flowcontrolv1.FlowSchema{ObjectMeta: metav1.ObjectMeta{Name: "joinery-bootstrap"}},
			&flowcontrolv1.PriorityLevelConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "joinery-bootstrap"}},
		}, []want{
			{doctor.Warning, "PriorityLevelConfiguration joinery-bootstrap is not as this build ships it", "take the API server", "kubectl apply -f deploy/rbac/"},
			{doctor.Warning, "FlowSchema joinery-bootstrap is not as", "take the API server", ""},
			{doctor.Warning, "ValidatingAdmissionPolicy joinery-bootstrap-requests is not as", "any size and form", ""},
			{doctor.Warning, "ValidatingAdmissionPolicyBinding joinery-bootstrap-requests is not as", "any size and form", ""},
		}},

		{"legacy tokens without bounds", "permissions", legacyRights(t), []want{
			{doctor.Warning, "ValidatingAdmissionPolicy joinery-legacy-requests is missing", "any size and form", "kubectl apply -f deploy/rbac/"},
			{doctor.Warning, "ValidatingAdmissionPolicyBinding joinery-legacy-requests is missing", "any size and form", ""},
		}},

		{"a leader that is gone", "leader", []runtime.Object{lease("master-1_8d3f", time.Now().Add(-time.Minute))}, []want{{doctor.Broken, "master-1 renewed the Lease 1m", "nodes cannot join", "systemctl status joinery-controller"}}},
		{"a Lease that was given back", "leader", []runtime.Object{lease("", time.Now())}, []want{{doctor.Broken, "has no holder", "", ""}}},

		{"a memory that cannot be read", "grants", []runtime.Object{&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: csr.GrantsName}, Data: map[string]string{"i-1": "{}", "i-2": "{"}}},
			[]want{{doctor.Broken, "no JSON: i-2", "nothing is approved", "edit configmap joinery-grants"}}},

		{"tokens of others", "foreign-tokens", []runtime.Object{
			tokenSecret("aaaaaa", "", map[string]string{auth: "true", "auth-extra-groups": kubeadmGroup, "expiration": ahead}),
			tokenSecret("bbbbbb", "", map[string]string{"usage-bootstrap-signing": "true"}),
			tokenSecret("cccccc", "other", map[string]string{auth: "true", "expiration": "tomorrow"}),
			tokenSecret("dddddd", "", map[string]string{auth: "true", "expiration": ago}),
			tokenSecret("eeeeee", "", map[string]string{"expiration": ahead}),
		}, []want{
			{doctor.Warning, "bootstrap-token-aaaaaa is a live token of somebody else (groups " + kubeadmGroup + "), until " + ahead, "ask for certificates", "kubectl -n kube-system delete secret bootstrap-token-aaaaaa"},
			{doctor.Warning, "bootstrap-token-bbbbbb is a live token of somebody else (groups none), for ever", "pose as the API server", ""},
			{doctor.Warning, "bootstrap-token-cccccc", "", ""},
		}},
		{"certificates left over", "uploaded-certs", []runtime.Object{&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-certs"}}},
			[]want{{doctor.Warning, "CA keys", "has the cluster", "kubectl -n kube-system delete secret kubeadm-certs"}}},

		{"requests that wait", "pending-requests", []runtime.Object{
			request("csr-1", clientSigner, "system:bootstrap:abcdef", 11*time.Minute), request("csr-2", clientSigner, "system:bootstrap:abcdef", time.Minute), decided,
			request("csr-3", serving, "system:node:ip-10-0-0-1", 12*time.Minute), request("csr-4", serving, "system:node:ip-10-0-0-1", 20*time.Minute),
			request("csr-5", "example.com/other", "somebody", time.Hour),
		}, []want{
			{doctor.Warning, "1 requests for a node's certificate have waited for more than 10m0s: csr-1 of system:bootstrap:abcdef", "", "kubectl describe csr csr-1"},
			{doctor.Warning, "the kubelets of 1 nodes wait for a serving certificate: ip-10-0-0-1", "kubectl logs", "kubectl describe csr csr-4"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := examine(t, doctor.Cluster{Client: server(t, instead(t, healthy(t), tt.with...)...), Name: "demo"}, tt.check)
			if len(found) != len(tt.want) {
				t.Fatalf("got %+v, want %d findings", found, len(tt.want))
			}
			for i, w := range tt.want {
				f := found[i]
				if f.Level != w.level || !strings.Contains(f.Found, w.found) || !strings.Contains(f.Why, w.why) || !strings.Contains(f.Mend, w.mend) {
					t.Errorf("got  %+v\nwant %+v", f, w)
				}
				if f.Level != doctor.Skipped && (f.Why == "" || f.Mend == "") {
					t.Errorf("why or what mends it is not said: %+v", f)
				}
			}
		})
	}
}

func TestWhatIsMissing(t *testing.T) {
	client := server(t) // an empty cluster
	for check, w := range map[string]want{
		"api-server-flags":         {doctor.Unknown, "component=kube-apiserver", "", "ps -o args= -C kube-apiserver"},
		"controller-manager-flags": {doctor.Unknown, "component=kube-controller-manager", "", ""},
		"permissions":              {doctor.Broken, "ClusterRoleBinding joinery:bootstrap is missing", "", "-f deploy/rbac/"},
		"leader":                   {doctor.Broken, "no joinery-controller ever led", "", ""},
		"grants":                   {doctor.OK, "nothing was granted yet", "", ""},
	} {
		f := examine(t, doctor.Cluster{Client: client}, check)[0]
		if f.Level != w.level || !strings.Contains(f.Found, w.found) || !strings.Contains(f.Mend, w.mend) {
			t.Errorf("%s: %+v", check, f)
		}
	}
}

// A right that no binding explains, as one that a webhook gives, is found too.
func TestApprovalByAnotherAuthorizer(t *testing.T) {
	client := server(t, bind("hook", nodeClient, "system:bootstrappers:joinery:node"), nodeClient)
	client.PrependReactor("list", "clusterrolebindings", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &rbacv1.ClusterRoleBindingList{}, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		sar := a.(clienttesting.CreateAction).GetObject().DeepCopyObject()
		allow(sar, "allowed by the company's webhook")
		return true, sar, nil
	})
	for _, f := range examine(t, doctor.Cluster{Client: client}, "auto-approval") {
		if !strings.Contains(f.Found, "company's webhook") || !strings.HasPrefix(f.Mend, "kubectl auth can-i create ") {
			t.Errorf("%+v", f)
		}
	}
}

func TestWhatMayNotBeReadIsNotKnown(t *testing.T) {
	for resource, checks := range map[string][]string{
		"subjectaccessreviews": {"auto-approval"}, "pods": {"api-server-flags", "controller-manager-flags"}, "clusterroles": {"permissions"},
		"rolebindings": {"token-rights", "permissions"}, "leases": {"leader"}, "configmaps": {"grants", "certificates"}, "nodes": {"certificates"}, "secrets": {"foreign-tokens", "uploaded-certs"}, "certificatesigningrequests": {"pending-requests"},
	} {
		client := server(t, healthy(t)...)
		client.PrependReactor("*", resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
		for _, check := range checks {
			f := examine(t, doctor.Cluster{Client: client}, check)
			if f[len(f)-1].Level != doctor.Unknown || !strings.Contains(f[len(f)-1].Found, "forbidden") {
				t.Errorf("%s without %s: %+v", check, resource, f)
			}
		}
	}
}

// Who may ask but not list is told what the answer itself names.
func TestBindingsThatMayNotBeListed(t *testing.T) {
	client := server(t, bind("kubeadm:node-autoapprove-bootstrap", nodeClient, "system:bootstrappers:kubeadm:default-node-token"), nodeClient)
	client.PrependReactor("list", "clusterroles", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("forbidden") })
	f := examine(t, doctor.Cluster{Client: client}, "auto-approval")
	if len(f) != 2 || f[0].Level != doctor.Unsafe || f[0].Mend != "kubectl delete clusterrolebinding kubeadm:node-autoapprove-bootstrap" || f[1].Level != doctor.Unknown {
		t.Errorf("%+v", f)
	}
}

func TestWorstAndOutput(t *testing.T) {
	all := []doctor.Finding{{Check: "a", Level: doctor.OK, Found: "well"}, {Check: "b", Level: doctor.Unsafe, Found: "x<y", Why: "because", Mend: "kubectl delete x"}, {Check: "c", Level: doctor.Unknown, Found: "z"}}
	for i, want := range []doctor.Level{doctor.OK, doctor.Unsafe, doctor.Unsafe} {
		if got := doctor.Worst(all[:i+1]); got != want {
			t.Errorf("worst of %d: %s, want %s", i+1, got, want)
		}
	}
	order := []doctor.Level{doctor.OK, doctor.Skipped, doctor.Warning, doctor.Unknown, doctor.Broken, doctor.Unsafe}
	for i := 1; i < len(order); i++ {
		if got := doctor.Worst([]doctor.Finding{{Level: order[i]}, {Level: order[i-1]}}); got != order[i] {
			t.Errorf("%s is not worse than %s", order[i], order[i-1])
		}
	}
	var text, encoded bytes.Buffer
	if err := errors.Join(doctor.WriteText(&text, all), doctor.WriteJSON(&encoded, all)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok       a ", "unsafe   b ", " why: because\n", " mend: kubectl delete x\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("text lacks %q:\n%s", want, &text)
		}
	}
	var back struct {
		Worst    doctor.Level
		Findings []doctor.Finding
	}
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || back.Worst != doctor.Unsafe || !slices.Equal(back.Findings, all) {
		t.Errorf("%v: %s", err, &encoded)
	}
}
