package flood

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
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/vpc"
)

const senders = 16

// Thief holds a live token and the key of its requests.
type Thief struct {
	client kubernetes.Interface
	key    *ecdsa.PrivateKey
	// proof is well formed, and made for another request.
	proof string
	// Sent and Refused count the requests that the API server took and refused.
	Sent, Refused atomic.Int64
}

// Steal reads the published bundle of a cluster, as with a node's role, and has the
// given instance sign a proof for something else.
func Steal(ctx context.Context, s *site.Site, cluster string, i awssim.Instance) (*Thief, error) {
	b, err := s.Published(ctx)
	if err != nil {
		return nil, err
	}
	t := &Thief{}
	t.client, err = kubernetes.NewForConfig(&rest.Config{
		Host: "https://" + b.Endpoint, TLSClientConfig: rest.TLSClientConfig{CAData: []byte(b.CACert)}, Dial: s.Host.VPC().DialContext,
		BearerToken: b.Token.Reveal(), QPS: -1,
	})
	if err != nil {
		return nil, err
	}
	if t.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	meta := imds.New(imds.Options{Endpoint: "http://169.254.169.254", HTTPClient: &http.Client{Transport: awssim.Transport(s.World.IMDS(i.ID))}})
	t.proof, err = proof.NewSigner(aws.Config{
		Region: s.World.Region, BaseEndpoint: aws.String(fmt.Sprintf("http://%s:4566", vpc.Gateway)),
		Credentials: ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta }),
	}).Prove(ctx, cluster, []byte("another request"))
	if err != nil {
		return nil, err
	}
	return t, nil
}

// send makes one false request for a node name.
func (t *Thief) send(ctx context.Context, node string) error {
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

// Send sends requests, for the names that name gives and so many a second, and returns
// when they are sent or ctx has ended.
func (t *Thief) Send(ctx context.Context, requests, perSecond int, name func(int) string) {
	pace := rate.NewLimiter(rate.Limit(perSecond), perSecond)
	var next atomic.Int64
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for n := int(next.Add(1) - 1); n < requests && pace.Wait(ctx) == nil; n = int(next.Add(1) - 1) {
				if err := t.send(ctx, name(n)); err != nil {
					t.Refused.Add(1)
					continue
				}
				t.Sent.Add(1)
			}
		})
	}
	sending.Wait()
}
