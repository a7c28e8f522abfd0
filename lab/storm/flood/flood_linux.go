package storm_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"golang.org/x/time/rate"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/vpc"
)

const (
	// requests is how many a storm has, perSecond how many it sends: the API server
	// of one control-plane node on two cores takes some hundred.
	requests, perSecond = 10_000, 150
	senders             = 16
)

// thief holds a live token and the key of its requests.
type thief struct {
	client kubernetes.Interface
	key    *ecdsa.PrivateKey
	// proof is well formed, and made for another request.
	proof         string
	sent, refused atomic.Int64
}

// steal reads the published bundle, as with a node's role, and has the given
// instance sign a proof for something else.
func (s *scene) steal(i awssim.Instance) *thief {
	s.t.Helper()
	b, err := s.Published(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	t := &thief{}
	t.client, err = kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + b.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(b.CACert)}, Dial: s.Host.VPC().DialContext,
		BearerToken: b.Token.Reveal(), QPS: -1,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if t.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		s.t.Fatal(err)
	}
	meta := imds.New(imds.Options{Endpoint: "http://169.254.169.254", HTTPClient: &http.Client{Transport: awssim.Transport(s.World.IMDS(i.ID))}})
	t.proof, err = proof.NewSigner(aws.Config{
		Region: s.World.Region, BaseEndpoint: aws.String(fmt.Sprintf("http://%s:4566", vpc.Gateway)),
		Credentials: ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta }),
	}).Prove(s.t.Context(), clusterName, []byte("another request"))
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

// send makes one false request for a node name.
func (t *thief) send(ctx context.Context, node string) error {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
	}, t.key)
	if err != nil {
		return err
	}
	seconds := int32(600)
	_, err = t.client.CertificatesV1().CertificateSigningRequests().Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "joinery-" + node + "-", Annotations: map[string]string{v1alpha1.STSProofAnnotation: t.proof}},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName, ExpirationSeconds: &seconds,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	return err
}

// storm sends all requests, for the names that name gives, and returns when they
// are sent or ctx has ended.
func (t *thief) storm(ctx context.Context, name func(int) string) {
	pace := rate.NewLimiter(perSecond, perSecond)
	var next atomic.Int64
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for n := next.Add(1) - 1; n < requests && pace.Wait(ctx) == nil; n = next.Add(1) - 1 {
				if err := t.send(ctx, name(int(n))); err != nil {
					t.refused.Add(1)
					continue
				}
				t.sent.Add(1)
			}
		})
	}
	sending.Wait()
}
