package csr

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// What is kept of a flood's requests is some hundred bytes of each, not its proof,
// its certificate request or an annotation of anyone.
func TestLittleIsKeptOfARequest(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:ip-10-99-0-12.us-west-2.compute.internal", Organization: []string{"system:nodes"}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	const requests, most = 10_000, 2 << 10
	ls := newLanes(120, 20)
	var kept []any
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for n := range requests {
		c := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprint("joinery-", n), UID: "0c0ffee0-0000-0000-0000-000000000000", CreationTimestamp: metav1.Now(),
			Annotations: map[string]string{v1alpha1.STSProofAnnotation: strings.Repeat("x", 8<<10), "other": strings.Repeat("y", 64<<10)},
		}}
		c.Spec.Request = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), strings.Repeat("\n", 2<<10)...)
		c.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
		c.Spec.Username, c.Spec.Groups = "system:bootstrap:abcdef", []string{v1alpha1.BootstrapGroup}
		o, err := slim(c)
		if err != nil {
			t.Fatal(err)
		}
		s := o.(*sighting)
		if s.kind != Bootstrap || s.node != "ip-10-99-0-12.us-west-2.compute.internal" {
			t.Fatalf("kind %q, claim %q", s.kind, s.node)
		}
		kept = append(kept, o)
		ls.put(laneKey{claim: fmt.Sprint(s.node, n)}, waiting{name: s.Name, requester: s.requester, uid: s.UID, created: time.Now()})
	}
	if each := (heap() - before) / requests; each > most {
		t.Errorf("%d bytes are kept of a request: expected at most %d", each, most)
	}
	if c := ls.count(); c.unclaimed != requests || len(kept) != requests {
		t.Errorf("%d requests wait", c.unclaimed)
	}
	runtime.KeepAlive(kept)
}
