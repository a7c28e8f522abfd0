package attack_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/vpc"
)

const (
	clientSigner  = certificatesv1.KubeAPIServerClientKubeletSignerName
	servingSigner = certificatesv1.KubeletServingSignerName
)

// stolen is the published bundle: what a thief has who read SSM with a node's role.
func (s *scene) stolen() *v1alpha1.JoinBundle {
	s.t.Helper()
	b, err := s.Published(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// with returns a client of the real API server with somebody's credentials.
func (s *scene) with(set func(*rest.Config)) kubernetes.Interface {
	s.t.Helper()
	b := s.stolen()
	c := &rest.Config{Host: "https://" + b.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(b.CACert)}, Dial: s.Host.VPC().DialContext}
	set(c)
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

func (s *scene) withToken() kubernetes.Interface {
	return s.with(func(c *rest.Config) { c.BearerToken = s.stolen().Token.Reveal() })
}

func (s *scene) withCertificate(cert, key []byte) kubernetes.Interface {
	return s.with(func(c *rest.Config) { c.CertData, c.KeyData = cert, key })
}

// asNode is a client with the certificate of a node's kubelet, as whoever has
// broken into that node has it.
func (s *scene) asNode(i awssim.Instance) kubernetes.Interface {
	s.t.Helper()
	m, ok := s.Host.Machine(i.ID)
	if !ok {
		s.t.Fatalf("instance %s has no machine", i.ID)
	}
	out, err := m.Exec(s.t.Context(), "cat", "/var/lib/kubelet/pki/kubelet-client-current.pem")
	if err != nil {
		s.t.Fatal(err)
	}
	return s.withCertificate(out, out)
}

// claim is what is asked for.
type claim struct {
	node   string // of the subject
	signer string
	names  []string
	ips    []net.IP
	proof  func(request []byte) string // nil: none
}

// wish is a claim with its key.
type wish struct {
	key  []byte // PEM
	made *certificatesv1.CertificateSigningRequest
}

// ask makes a request with a new key.
func (s *scene) ask(client kubernetes.Interface, c claim) wish {
	s.t.Helper()
	w, err := s.tryAsk(client, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// tryAsk is ask, with the API server's answer.
func (s *scene) tryAsk(client kubernetes.Interface, c claim) (wish, error) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "system:node:" + c.node, Organization: []string{"system:nodes"}},
		DNSNames: c.names, IPAddresses: c.ips,
	}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	seconds := int32(600)
	r := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "joinery-attack-", Annotations: map[string]string{}},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: c.signer, ExpirationSeconds: &seconds,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}
	if c.signer == servingSigner {
		r.Spec.Usages[1] = certificatesv1.UsageServerAuth
	}
	if c.proof != nil {
		r.Annotations[v1alpha1.STSProofAnnotation] = c.proof(r.Spec.Request)
	}
	made, err := client.CertificatesV1().CertificateSigningRequests().Create(s.t.Context(), r, metav1.CreateOptions{})
	if err != nil {
		return wish{}, err
	}
	plain, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return wish{pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: plain}), made}, nil
}

// outcome is what was decided, "" for nothing, and the certificate if there is one.
func (s *scene) outcome(w wish) (string, []byte) {
	s.t.Helper()
	c, err := s.Cluster.Client().CertificatesV1().CertificateSigningRequests().Get(s.t.Context(), w.made.Name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var said []string
	for _, k := range c.Status.Conditions {
		said = append(said, fmt.Sprintf("%s %s", k.Type, k.Reason))
	}
	return strings.Join(said, ", "), c.Status.Certificate
}

// wants waits for a decision within limit, and for the certificate of an approval.
func (s *scene) wants(w wish, limit time.Duration, want string) []byte {
	s.t.Helper()
	end := time.Now().Add(limit)
	for {
		got, cert := s.outcome(w)
		switch approved := strings.HasPrefix(got, "Approved"); {
		case got != "" && got != want:
			s.t.Fatalf("got %q: expected %q", got, want)
		case got == want && (!approved || len(cert) > 0):
			return cert
		case time.Now().After(end):
			s.t.Fatalf("got %q within %s: expected %q", got, limit, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// denied waits until a request is denied for reason, and looks for the alarm.
func (s *scene) denied(w wish, limit time.Duration, reason string) {
	s.t.Helper()
	s.wants(w, limit, "Denied Joinery"+reason)
	if cert := s.wants(w, 0, "Denied Joinery"+reason); len(cert) > 0 {
		s.t.Error("a certificate was issued all the same")
	}
	s.alarm(w, reason)
}

// alarm looks for the warning that a person would see, and for the metric.
func (s *scene) alarm(w wish, reason string) {
	s.t.Helper()
	s.alarmed(w, "Deny"+reason, corev1.EventTypeWarning)
	out, err := s.Cluster.Master().Exec(s.t.Context(), "curl", "--silent", "http://127.0.0.1:9810/metrics")
	line := fmt.Sprintf("joinery_csr_decisions_total{reason=%q,verdict=%q}", reason, "Deny")
	if err != nil || !strings.Contains(string(out), line) {
		s.t.Errorf("no metric %s counts it (%v)", line, err)
	}
}

// alarmed waits for an event about the request.
func (s *scene) alarmed(w wish, reason, kind string) {
	s.t.Helper()
	for end := time.Now().Add(soon); ; time.Sleep(100 * time.Millisecond) {
		all, err := s.Cluster.Client().CoreV1().Events(metav1.NamespaceAll).List(s.t.Context(), metav1.ListOptions{
			FieldSelector: "involvedObject.name=" + w.made.Name + ",reason=" + reason + ",type=" + kind})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(all.Items) > 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Errorf("no %s event %s tells of it", kind, reason)
			return
		}
	}
}

// signs returns who signs proofs with the identity of an instance, which any
// process in the host's network of it gets from the metadata service.
func (s *scene) signs(i awssim.Instance, cluster string) func([]byte) string {
	s.t.Helper()
	got, err := imds.New(func(o *sdk.Options) { o.HTTPClient = &http.Client{Transport: awssim.Transport(s.World.IMDS(i.ID))} }).InstanceIdentity(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.signsWith(cluster, credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey.Reveal(), got.SessionToken.Reveal()))
}

// signsByRole is signs with the role of the instance profile.
func (s *scene) signsByRole(i awssim.Instance) func([]byte) string {
	meta := sdk.New(sdk.Options{DisableDefaultTimeout: true, Endpoint: "http://169.254.169.254", HTTPClient: &http.Client{Transport: awssim.Transport(s.World.IMDS(i.ID))}})
	return s.signsWith(clusterName, ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta }))
}

// assumes returns who signs with the nodes' role, assumed by another principal
// under the name of an instance.
func (s *scene) assumes(i awssim.Instance) func([]byte) string {
	s.t.Helper()
	s.World.TrustRole(site.NodeRole, "deployer")
	out, err := sts.NewFromConfig(s.World.Config("deployer")).AssumeRole(s.t.Context(), &sts.AssumeRoleInput{
		RoleArn: aws.String("arn:aws:iam::123456789012:role/" + site.NodeRole), RoleSessionName: aws.String(i.ID),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	c := out.Credentials
	return s.signsWith(clusterName, credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
}

func (s *scene) signsWith(cluster string, c aws.CredentialsProvider) func([]byte) string {
	signer := proof.NewSigner(aws.Config{
		Region: s.World.Region, BaseEndpoint: aws.String(fmt.Sprintf("http://%s:4566", vpc.Gateway)), Credentials: c,
	})
	return func(request []byte) string {
		s.t.Helper()
		p, err := signer.Prove(s.t.Context(), cluster, request)
		if err != nil {
			s.t.Fatal(err)
		}
		return p
	}
}

// honest is the request by which a node has joined.
func (s *scene) honest(i awssim.Instance) *certificatesv1.CertificateSigningRequest {
	s.t.Helper()
	all, err := s.withToken().CertificatesV1().CertificateSigningRequests().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for n := range all.Items {
		c := &all.Items[n]
		if strings.HasPrefix(c.Name, "joinery-"+i.PrivateDNSName) && len(c.Status.Certificate) > 0 {
			return c
		}
	}
	s.t.Fatalf("no request of %s among %d", i.PrivateDNSName, len(all.Items))
	return nil
}

// refusedByPolicy wants the admission policy for join tokens to say no, with a text
// that contains why.
func (s *scene) refusedByPolicy(err error, why string) {
	s.t.Helper()
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "joinery-bootstrap-requests") || !strings.Contains(err.Error(), why) {
		s.t.Errorf("got %v: expected that the admission policy refuses it: %s", err, why)
	}
}

// refused wants the API server itself to say no.
func (s *scene) refused(err error) {
	s.t.Helper()
	if !apierrors.IsForbidden(err) {
		s.t.Errorf("got %v: expected that the API server forbids it", err)
	}
}
