package lifecycle_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
)

// legacyManifests are what an operator applies for the time of a migration.
const legacyManifests = "../../deploy/rbac/optional/legacy/legacy.yaml"

// parameter reads an SSM parameter as the operator.
func (s *scene) parameter(name string) string {
	s.t.Helper()
	var value string
	s.await("parameter "+name, 40*time.Second, func(ctx context.Context) (string, bool) {
		out, err := ssm.NewFromConfig(s.World.Config("operator")).GetParameter(ctx, &ssm.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
		if err != nil {
			return err.Error(), false
		}
		value = aws.ToString(out.Parameter.Value)
		return fmt.Sprintf("%s, version %d", out.Parameter.Type, out.Parameter.Version), true
	})
	return value
}

// joinConfig is what an old script writes.
const joinConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    token: %q
    apiServerEndpoint: %q
    caCertHashes: [%q]
nodeRegistration:
  name: %s
  criSocket: unix:///run/containerd/containerd.sock
  ignorePreflightErrors: [SystemVerification]
  kubeletExtraArgs:
    - {name: provider-id, value: "aws:///%s/%s"}
    - {name: node-ip, value: %s}
`

// caHash pins the cluster's CA as kubeadm wants it: the hash of its public key.
func caHash(t *testing.T, authority string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(authority))
	if block == nil {
		t.Fatal("the bundle has no CA")
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(ca.RawSubjectPublicKeyInfo))
}

// An instance with old user data joins with the token that is published for it,
// although proofs are required of all others.
func TestOldUserDataJoins(t *testing.T) {
	s := open(t)
	text, err := os.ReadFile(legacyManifests)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cluster.Kubectl(t.Context(), text, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	i := s.launch(old, 1)[0]
	s.awaitState(i, "InService", launched)
	bundle, err := v1alpha1.DecodeJoinBundle([]byte(s.parameter(v1alpha1.ParameterName(clusterName))))
	if err != nil {
		t.Fatal(err)
	}
	token := s.parameter(legacyParameter)
	s.checkWhatTheTokenIsWorth(token, bundle, i)
	s.runOldUserData(i, fmt.Sprintf(joinConfig, token, cluster.Endpoint(s.Cluster.Master().IP()), caHash(t, bundle.CACert),
		i.PrivateDNSName, i.Zone, i.ID, i.PrivateIP))
	s.awaitReady(i)
	requests := s.requestsOf(token)
	at := slices.IndexFunc(requests, func(r certificatesv1.CertificateSigningRequest) bool { return len(r.Status.Certificate) > 0 })
	if at < 0 {
		t.Fatalf("none of %d requests of the token has a certificate", len(requests))
	}
	r := requests[at]
	if r.Annotations[v1alpha1.STSProofAnnotation] != "" || len(r.Status.Conditions) != 1 || r.Status.Conditions[0].Reason != "JoineryAttested" ||
		!slices.Contains(r.Spec.Groups, v1alpha1.LegacyBootstrapGroup) {
		t.Errorf("request of %q: %+v", r.Spec.Groups, r.Status.Conditions)
	}
	// From here on the name is taken, for who holds the token too.
	s.judged(s.ask(s.withToken(token, bundle), i.PrivateDNSName), "DenyAlreadyJoined", corev1.EventTypeWarning)
}

// runOldUserData does as root what the script in the instance's user data says.
func (s *scene) runOldUserData(i awssim.Instance, config string) {
	s.t.Helper()
	m := s.machine(i)
	ctx, cancel := context.WithTimeout(s.t.Context(), launched)
	defer cancel()
	if err := m.WaitUnits(ctx, "containerd.service", "lab-images.service"); err != nil {
		s.t.Fatal(err)
	}
	if err := image.WriteFiles(m.Path("/"), map[string]image.File{"/etc/join.yaml": {Data: []byte(config), Mode: 0o600}}); err != nil {
		s.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"hostnamectl", "set-hostname", i.PrivateDNSName}, {"kubeadm", "join", "--config", "/etc/join.yaml"}, {"systemctl", "enable", "-q", "kubelet"},
	} {
		if out, err := m.Exec(ctx, args...); err != nil {
			s.t.Fatalf("%v\n%s", err, out)
		}
	}
}

// checkWhatTheTokenIsWorth: nothing but a request, and that for the name of an
// instance that boots.
func (s *scene) checkWhatTheTokenIsWorth(token string, bundle *v1alpha1.JoinBundle, i awssim.Instance) {
	s.t.Helper()
	thief := s.withToken(token, bundle)
	master := s.Cluster.Masters()[0].NodeName
	// What EC2 may show late is held at first, and denied in two minutes.
	s.judged(s.ask(thief, master), "HoldNotManaged", corev1.EventTypeNormal)
	// The name of no instance that may be joining costs nothing, and gets nothing.
	unclaimed := s.ask(thief, "ip-10-99-0-250.us-west-2.compute.internal")
	defer s.notApproved(unclaimed)
	s.judged(s.ask(thief, "rogue"), "DenyWrongName", corev1.EventTypeWarning)
	if _, err := thief.CoreV1().Secrets(metav1.NamespaceSystem).List(s.t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		s.t.Errorf("secrets: %v", err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: i.PrivateDNSName}}
	if _, err := thief.CoreV1().Nodes().Create(s.t.Context(), node, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		s.t.Errorf("creating a Node: %v", err)
	}
}

// withToken is a client with a bootstrap token.
func (s *scene) withToken(token string, bundle *v1alpha1.JoinBundle) kubernetes.Interface {
	s.t.Helper()
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + bundle.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(bundle.CACert)}, Dial: s.Host.VPC().DialContext, BearerToken: token})
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// ask makes the request of a kubelet of that name; it returns the request's name.
func (s *scene) ask(client kubernetes.Interface, node string) string {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	made, err := client.CertificatesV1().CertificateSigningRequests().Create(s.t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "csr-thief-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return made.Name
}

// judged waits for what the approver said of a request that gets no certificate.
func (s *scene) judged(request, event, kind string) {
	s.t.Helper()
	s.told(kind, event, "CertificateSigningRequest "+request)
	s.notApproved(request)
}

func (s *scene) notApproved(request string) {
	s.t.Helper()
	r, err := s.Cluster.Client().CertificatesV1().CertificateSigningRequests().Get(s.t.Context(), request, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	approved := slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == certificatesv1.CertificateApproved
	})
	if approved || len(r.Status.Certificate) > 0 {
		s.t.Errorf("%s: %+v", request, r.Status.Conditions)
	}
}

// requestsOf are the requests that were made with a token.
func (s *scene) requestsOf(token string) []certificatesv1.CertificateSigningRequest {
	s.t.Helper()
	id, _, _ := strings.Cut(token, ".")
	all, err := s.Cluster.Client().CertificatesV1().CertificateSigningRequests().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(r certificatesv1.CertificateSigningRequest) bool {
		return r.Spec.Username != "system:bootstrap:"+id
	})
}
