package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/lab/awssim"
)

func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestAccountIsTheInstancesRole uses nothing but the SDK's own
// environment variables and the credentials that the metadata service hands out,
// as an instance does.
func TestAccountIsTheInstancesRole(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	i, err := w.AddInstance(awssim.InstanceSpec{Role: "node"})
	if err != nil {
		t.Fatal(err)
	}
	api, metadata := httptest.NewServer(w), httptest.NewServer(w.IMDS(i.ID))
	t.Cleanup(api.Close)
	t.Cleanup(metadata.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": api.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL, "AWS_REGION": "eu-north-1",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "",
		"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
	} {
		t.Setenv(name, value)
	}
	b := &v1alpha1.JoinBundle{
		Cluster: "demo", Endpoint: "10.99.0.11:6443", CACert: authority(t), Token: "abcdef.0123456789abcdef",
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), KubernetesVersion: "v1.37.2",
	}
	value, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssm.NewFromConfig(w.Config("controller")).PutParameter(t.Context(), &ssm.PutParameterInput{
		Name: aws.String("/joinery/demo/join"), Value: aws.String(string(value)), Type: types.ParameterTypeSecureString,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Settle()
	config, err := v1alpha1.NodeConfigFor("demo")
	if err != nil {
		t.Fatal(err)
	}
	role := account{log: slog.New(slog.DiscardHandler)}
	got, err := role.fetch(t.Context(), join.Node{Facts: identity.Facts{Region: "us-west-2"}, Spec: config.Spec})
	if err != nil || got.TokenID() != "abcdef" {
		t.Fatalf("got %+v, %v", got, err)
	}
	calls := w.CallsTo("ssm", "GetParameter")
	if len(calls) != 1 || calls[0].Principal != "node" {
		t.Errorf("SSM saw %+v, want one call by the role node", calls)
	}
	checkProof(t, &role, "aws:ec2-instance/"+i.ID)
	w.SetInstanceIdentity(i.ID, false)
	checkProof(t, &role, "node/"+i.ID)
}

// checkProof sends a proof as the controller does.
func checkProof(t *testing.T, signer join.Prover, session string) {
	t.Helper()
	const request = "the request"
	url, err := signer.Prove(t.Context(), "demo", []byte(request))
	if err != nil {
		t.Fatal(err)
	}
	send, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range v1alpha1.ProofHeaders("demo", []byte(request)) {
		send.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(send)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(body), "assumed-role/"+session+"<") {
		t.Errorf("STS says %s %s, %v", res.Status, body, err)
	}
}
