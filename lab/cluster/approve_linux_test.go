package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func request(t *testing.T, name, requester, subject, organization string, sans ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: subject, Organization: []string{organization}}, DNSNames: sans,
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName, Username: requester,
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		},
	}
}

func TestOnlyTheExpectedRequestIsApproved(t *testing.T) {
	const requester, subject, nodes = "system:bootstrap:abcdef", "system:node:m", "system:nodes"
	denied := request(t, "denied", requester, subject, nodes)
	denied.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue}}
	broken := request(t, "broken", requester, subject, nodes)
	broken.Spec.Request = []byte("nothing")
	client := fake.NewClientset(denied, broken,
		request(t, "expected", requester, subject, nodes),
		request(t, "other requester", "system:bootstrap:fedcba", subject, nodes),
		request(t, "other name", requester, "system:node:n", nodes),
		request(t, "other organization", requester, subject, "system:masters"),
		request(t, "other names", requester, subject, nodes, "m"),
	)
	c := &Cluster{client: client}
	if err := c.approveRequests(t.Context(), requester, subject); err != nil {
		t.Fatal(err)
	}
	list, err := client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Items {
		approved := len(r.Status.Conditions) == 1 && r.Status.Conditions[0].Type == certificatesv1.CertificateApproved
		if approved != (r.Name == "expected") {
			t.Errorf("%s: approved %t", r.Name, approved)
		}
	}
}
