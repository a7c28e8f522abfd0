package attack_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/controlplane/token"
)

const credentialFile = "/etc/joinery/private/controller/client.pem"

// way is one way up from the controller's credential.
type way struct {
	name string
	// policy is the admission policy that refuses it; empty: RBAC does.
	policy string
	try    func(context.Context, kubernetes.Interface) error
}

// The thief of the controller's own credential wants to be cluster administrator.
func TestThiefOfTheControllersCredentialTriesToRise(t *testing.T) {
	s := open(t)
	text := s.mustExec("cat", credentialFile)
	thief := s.withCertificate([]byte(text), []byte(text))
	// It is the controller's: what the controller may do works.
	if _, err := thief.CoreV1().Secrets("kube-system").Get(t.Context(), "bootstrap-token-"+s.stolen().TokenID(), metav1.GetOptions{}); err != nil {
		t.Fatalf("the credential reads no join token: %v", err)
	}
	ways := append(append(s.waysBySecrets(), s.waysByOthersRights()...), s.waysByObjects()...)
	if len(ways) < 20 {
		t.Fatalf("only %d ways", len(ways))
	}
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			err := w.try(t.Context(), thief)
			switch {
			case err == nil:
				t.Error("it worked")
			case w.policy != "" && !strings.Contains(err.Error(), w.policy):
				t.Errorf("not refused by %s: %v", w.policy, err)
			case w.policy == "" && !apierrors.IsForbidden(err):
				t.Errorf("not forbidden: %v", err)
			}
		})
	}
	s.impersonates([]byte(text))
}

// waysBySecrets are by Secrets, which the controller may create.
func (s *scene) waysBySecrets() []way {
	const policy = "joinery-controller-secrets"
	create := func(name, policy string, change func(*corev1.Secret)) way {
		return way{name, policy, func(ctx context.Context, c kubernetes.Interface) error {
			o, err := token.NewSecret(clusterName, token.Join, token.Join.IDs()[9], time.Now(), time.Now().Add(time.Hour))
			if err != nil {
				return err
			}
			change(o)
			_, err = c.CoreV1().Secrets(o.Namespace).Create(ctx, o, metav1.CreateOptions{})
			return err
		}}
	}
	set := func(key, value string) func(*corev1.Secret) {
		return func(o *corev1.Secret) { o.Data[key] = []byte(value) }
	}
	return []way{
		create("a service account's token", policy, func(o *corev1.Secret) {
			o.Name, o.Type, o.Data = "stolen", corev1.SecretTypeServiceAccountToken, nil
			o.Annotations = map[string]string{corev1.ServiceAccountNameKey: "clusterrole-aggregation-controller"}
		}),
		create("the same under a token's name", policy, func(o *corev1.Secret) {
			o.Type, o.Data = corev1.SecretTypeServiceAccountToken, nil
			o.Annotations = map[string]string{corev1.ServiceAccountNameKey: "clusterrole-aggregation-controller"}
		}),
		create("a token of kubeadm's group", policy, set("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token")),
		create("a token of two groups", policy, set("auth-extra-groups", "system:bootstrappers:joinery:node,system:bootstrappers:kubeadm:default-node-token")),
		create("a token that signs cluster-info", policy, set("usage-bootstrap-signing", "true")),
		create("a token without an end", policy, func(o *corev1.Secret) { delete(o.Data, "expiration") }),
		create("a token of ten years", policy, set("expiration", "2037-01-01T00:00:00Z")),
		create("a token of another id", policy, func(o *corev1.Secret) { o.Name = "bootstrap-token-abcdef"; o.Data["token-id"] = []byte("abcdef") }),
		create("a token in stringData", policy, func(o *corev1.Secret) { o.StringData = map[string]string{"usage-bootstrap-signing": "true"} }),
		create("a Secret of another namespace", "", func(o *corev1.Secret) { o.Namespace = "default" }),
		{"all Secrets", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
			return err
		}},
		{"all Secrets, by its label", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "joinery.dev/cluster=" + clusterName})
			return err
		}},
		{"another's Secret", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().Secrets("kube-system").Get(ctx, "bootstrap-token-abcdef", metav1.GetOptions{})
			return err
		}},
		{"another's Secret, watched", "", func(ctx context.Context, c kubernetes.Interface) error {
			w, err := c.CoreV1().Secrets("kube-system").Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=kubeadm-certs"})
			if err == nil {
				w.Stop()
			}
			return err
		}},
		{"a token changed", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().Secrets("kube-system").Patch(ctx, "bootstrap-token-"+s.stolen().TokenID(), types.MergePatchType, []byte(`{"stringData":{"usage-bootstrap-signing":"true"}}`), metav1.PatchOptions{})
			return err
		}},
	}
}

// waysByOthersRights take rights that others have.
func (s *scene) waysByOthersRights() []way {
	admins := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"}
	self := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "joinery-controller"}}
	return []way{
		{"a binding to cluster-admin", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "rise"}, RoleRef: admins, Subjects: self}, metav1.CreateOptions{})
			return err
		}},
		{"a binding in kube-system", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.RbacV1().RoleBindings("kube-system").Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "rise"}, RoleRef: admins, Subjects: self}, metav1.CreateOptions{})
			return err
		}},
		{"more in its own role", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.RbacV1().ClusterRoles().Patch(ctx, "joinery:controller", types.MergePatchType, []byte(`{"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}`), metav1.PatchOptions{})
			return err
		}},
		{"a service account's token by request", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().ServiceAccounts("kube-system").CreateToken(ctx, "clusterrole-aggregation-controller", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		}},
		{"the approval of an administrator's certificate", "", func(ctx context.Context, c kubernetes.Interface) error {
			r, err := s.administrators(ctx)
			if err != nil {
				return err
			}
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Rise"})
			_, err = c.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, r.Name, r, metav1.UpdateOptions{})
			return err
		}},
		{"a request for a certificate in its own name", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CertificatesV1().CertificateSigningRequests().Create(ctx, administratorsRequest(s), metav1.CreateOptions{})
			return err
		}},
	}
}

// waysByObjects are by what other programs read or run.
func (s *scene) waysByObjects() []way {
	configMap := func(namespace, name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{"x": "y"}}
	}
	return []way{
		{"a pod in kube-system", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().Pods("kube-system").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "rise"}, Spec: corev1.PodSpec{
				ServiceAccountName: "clusterrole-aggregation-controller", Containers: []corev1.Container{{Name: "a", Image: "a"}}}}, metav1.CreateOptions{})
			return err
		}},
		{"a command in the API server's pod", "", func(ctx context.Context, c kubernetes.Interface) error {
			return c.CoreV1().RESTClient().Post().Namespace("kube-system").Resource("pods").Name("kube-apiserver-"+s.Cluster.Masters()[0].NodeName).
				SubResource("exec").Param("command", "true").Do(ctx).Error()
		}},
		{"the node's own API by proxy", "", func(ctx context.Context, c kubernetes.Interface) error {
			return c.CoreV1().RESTClient().Get().Resource("nodes").Name(s.Cluster.Masters()[0].NodeName).SubResource("proxy").Suffix("pods").Do(ctx).Error()
		}},
		{"whom the API server trusts", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().ConfigMaps("kube-system").Update(ctx, configMap("kube-system", "extension-apiserver-authentication"), metav1.UpdateOptions{})
			return err
		}},
		{"kubeadm's settings", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().ConfigMaps("kube-system").Update(ctx, configMap("kube-system", "kubeadm-config"), metav1.UpdateOptions{})
			return err
		}},
		{"the record of adopted nodes", "joinery-controller-names", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoreV1().ConfigMaps("kube-system").Create(ctx, configMap("kube-system", "joinery-adopted"), metav1.CreateOptions{})
			return err
		}},
		{"another program's Lease", "joinery-controller-names", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.CoordinationV1().Leases("kube-system").Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "cluster-autoscaler"}}, metav1.CreateOptions{})
			return err
		}},
		{"its own policy", "", func(ctx context.Context, c kubernetes.Interface) error {
			return c.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(ctx, "joinery-controller-secrets", metav1.DeleteOptions{})
		}},
		{"a webhook that reads everything", "", func(ctx context.Context, c kubernetes.Interface) error {
			_, err := c.AdmissionregistrationV1().MutatingWebhookConfigurations().Create(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "rise"}}, metav1.CreateOptions{})
			return err
		}},
	}
}

// impersonates asks as an administrator by the thief's credential.
func (s *scene) impersonates(text []byte) {
	s.t.Helper()
	for _, as := range []rest.ImpersonationConfig{{UserName: "kubernetes-admin"}, {UserName: "rise", Groups: []string{"system:masters"}}} {
		c := s.with(func(c *rest.Config) { c.CertData, c.KeyData, c.Impersonate = text, text, as })
		if _, err := c.CoreV1().Secrets("kube-system").List(s.t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			s.t.Errorf("as %v: %v", as, err)
		}
	}
}

// administratorsRequest asks for a client certificate of a group. That of
// system:masters is refused to everyone when it is asked for (admission plugin
// CertificateSubjectRestriction), so an operator binds a group of their own.
func administratorsRequest(s *scene) *certificatesv1.CertificateSigningRequest {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "rise", Organization: []string{"joinery:rise"}}}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "rise-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: certificatesv1.KubeAPIServerClientSignerName,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}
}

// administrators makes such a request as the administrator: an accomplice's.
func (s *scene) administrators(ctx context.Context) (*certificatesv1.CertificateSigningRequest, error) {
	return s.Cluster.Client().CertificatesV1().CertificateSigningRequests().Create(ctx, administratorsRequest(s), metav1.CreateOptions{})
}
