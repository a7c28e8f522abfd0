package bundle_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/version"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/lab/awssim"
)

const parameter = "/joinery/demo/join"

func client(t *testing.T) *ssm.Client {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	c := w.Config("controller")
	c.RetryMaxAttempts = 1
	return ssm.NewFromConfig(c)
}

func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

type serverVersion string

func (v serverVersion) ServerVersion() (*version.Info, error) {
	if v == "" {
		return nil, errors.New("connection refused")
	}
	return &version.Info{GitVersion: string(v)}, nil
}

func sample(t *testing.T, cluster string) *v1alpha1.JoinBundle {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte(authority(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := bundle.Source{Name: cluster, Endpoint: "10.0.0.1:6443", CAFile: ca, Version: serverVersion("v1.37.2")}.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	b := c.Bundle("abcdef.0123456789abcdef", now, now.Add(time.Hour))
	if field := c.Says(b); field != "" {
		t.Fatalf("a fresh bundle disagrees in %s", field)
	}
	return b
}

func TestPutAndGet(t *testing.T) {
	api := client(t)
	s := bundle.NewStore(api, "demo", parameter, "")
	var absent *bundle.NotFoundError
	if _, err := s.Get(t.Context()); !errors.As(err, &absent) || absent.Parameter != parameter {
		t.Fatalf("before the first: %v", err)
	}
	want := sample(t, "demo")
	for range 2 { // the second overwrites
		if err := s.Put(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got.TypeMeta = v1alpha1.TypeMeta{}
	if diff := cmp.Diff(want, got); diff != "" || got.Token.Reveal() != want.Token.Reveal() {
		t.Errorf("-put +got:\n%s", diff)
	}
	out, err := api.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(parameter)})
	if err != nil {
		t.Fatal(err)
	}
	if out.Parameter.Type != types.ParameterTypeSecureString || strings.Contains(*out.Parameter.Value, "0123456789abcdef") {
		t.Errorf("stored as %s: %s", out.Parameter.Type, *out.Parameter.Value)
	}
}

func TestWhatIsNotOursIsNamedByItsField(t *testing.T) {
	encoded, err := sample(t, "prod").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, field, got string }{
		{"other cluster", string(encoded), "cluster", "prod"},
		{"other cluster's later release", strings.Replace(string(encoded), "{", `{"colour":"red",`, 1), "cluster", "prod"},
		{"newer version", strings.Replace(string(encoded), "v1alpha1", "v1beta1", 1), "apiVersion", "joinery.dev/v1beta1"},
		{"other kind", strings.Replace(string(encoded), "JoinBundle", "NodeConfig", 1), "kind", "NodeConfig"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := client(t)
			put(t, api, test.text)
			_, err := bundle.NewStore(api, "demo", parameter, "").Get(t.Context())
			var foreign *bundle.NotOursError
			if !errors.As(err, &foreign) || foreign.Field != test.field || foreign.Got != test.got {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPlaceholdersAreInvalidNotForeign(t *testing.T) {
	for _, text := range []string{"changeme", "{}", "a: [", `{"apiVersion":"joinery.dev/v1alpha1","kind":"JoinBundle","token":"s3cr3t-text"}`} {
		api := client(t)
		put(t, api, text)
		_, err := bundle.NewStore(api, "demo", parameter, "").Get(t.Context())
		var invalid *v1alpha1.InvalidError
		if !errors.As(err, &invalid) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func put(t *testing.T, api *ssm.Client, text string) {
	t.Helper()
	_, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(parameter), Value: &text, Type: types.ParameterTypeSecureString})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutRefusesAnotherClustersBundle(t *testing.T) {
	var other *v1alpha1.OtherClusterError
	if err := bundle.NewStore(client(t), "demo", parameter, "").Put(t.Context(), sample(t, "prod")); !errors.As(err, &other) {
		t.Errorf("got %v", err)
	}
}

func TestSourceNeedsCAAndVersion(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	s := bundle.Source{Name: "demo", Endpoint: "10.0.0.1:6443", CAFile: ca, Version: serverVersion("v1.37.2")}
	if _, err := s.Cluster(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no CA: %v", err)
	}
	if err := os.WriteFile(ca, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Version = serverVersion("")
	if _, err := s.Cluster(); err == nil {
		t.Error("no version: no error")
	}
}
