package bundle_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/bundle"
)

// authority makes a CA certificate that is valid from since to until from now.
func authority(t testing.TB, since, until time.Duration) string {
	t.Helper()
	return certificate(t, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(since), NotAfter: time.Now().Add(until)})
}

func certificate(t testing.TB, template *x509.Certificate) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
}

type serverVersion string

func (v serverVersion) ServerVersionWithContext(context.Context) (*version.Info, error) {
	if v == "" {
		return nil, errors.New("connection refused")
	}
	return &version.Info{GitVersion: string(v)}, nil
}

func clusterInfo(server, ca string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-public", Name: "cluster-info"}, Data: map[string]string{
		"kubeconfig": fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: %s\n    certificate-authority-data: %s\n",
			server, base64.StdEncoding.EncodeToString([]byte(ca))),
	}}
}

func rootCA(ca string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": ca}}
}

func source(t *testing.T, file string, objects ...runtime.Object) bundle.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	client := fake.NewClientset(objects...)
	return bundle.Source{Name: "demo", CAFile: path, Version: serverVersion("v1.37.2"),
		Public: client.CoreV1().ConfigMaps("kube-public"), System: client.CoreV1().ConfigMaps("kube-system")}
}

func TestSourceReadsTheClusterItself(t *testing.T) {
	ca := authority(t, 0, time.Hour)
	s := source(t, ca+"\n", clusterInfo("https://api.demo.internal:6443", ca), rootCA(ca))
	want := bundle.Cluster{Name: "demo", Endpoint: "api.demo.internal:6443", CACert: ca, KubernetesVersion: "v1.37.2"}
	if got, err := s.Cluster(t.Context()); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	s.Endpoint = "10.0.0.1:6443"
	if got, err := s.Cluster(t.Context()); err != nil || got.Endpoint != s.Endpoint {
		t.Errorf("configured endpoint: got %q, %v", got.Endpoint, err)
	}
}

func TestEndpointOfClusterInfo(t *testing.T) {
	ca := authority(t, 0, time.Hour)
	for server, want := range map[string]string{
		"https://api.demo.internal": "api.demo.internal:443", "https://[fd00::1]:6443/": "[fd00::1]:6443",
		"http://api.demo.internal:6443": "", "https://api.demo.internal:6443/path": "", "nowhere": "",
	} {
		got, err := source(t, ca, clusterInfo(server, ca)).Cluster(t.Context())
		if got.Endpoint != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v", server, got.Endpoint, err)
		}
	}
}

// While the CA is rotated nodes are given both, whoever of the three knows of it.
func TestARotatedCAIsPublishedWithTheOldOne(t *testing.T) {
	old, next := authority(t, -time.Hour, time.Hour), authority(t, -time.Minute, time.Hour)
	expired := authority(t, -2*time.Hour, -time.Second)
	leaf := certificate(t, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)})
	headed := strings.Replace(next, "-----\n", "-----\nComment: the new one\n\n", 1)
	want := old + "\n" + next
	for name, s := range map[string]bundle.Source{
		"the file":         source(t, old+"\n"+next, clusterInfo("https://a:6443", old), rootCA(old)),
		"cluster-info":     source(t, old, clusterInfo("https://a:6443", next+"\n"+old), rootCA(old)),
		"kube-root-ca.crt": source(t, old, clusterInfo("https://a:6443", old), rootCA(headed)),
		"with an old one":  source(t, expired+"\n"+next, clusterInfo("https://a:6443", old), rootCA(leaf+"\n"+old)),
	} {
		if got, err := s.Cluster(t.Context()); err != nil || got.CACert != want {
			t.Errorf("%s: got\n%s\nexpected\n%s\n%v", name, got.CACert, want, err)
		}
	}
}

func TestSourceFailsClosed(t *testing.T) {
	ca := authority(t, 0, time.Hour)
	info, root := clusterInfo("https://a:6443", ca), rootCA(ca)
	noVersion := source(t, ca, info, root)
	noVersion.Version = serverVersion("")
	noFile := source(t, ca, info, root)
	noFile.CAFile += ".gone"
	configured := source(t, ca, root)
	configured.Endpoint = "10.0.0.1:6443"
	for _, test := range []struct {
		name   string
		source bundle.Source
		is     error // nil: any; fine: none
	}{
		{"no endpoint anywhere", source(t, ca, root), bundle.ErrNoEndpoint},
		{"configured endpoint, no cluster-info", configured, errFine},
		{"no kube-root-ca.crt", source(t, ca, info), errFine},
		{"no file", noFile, os.ErrNotExist},
		{"no version", noVersion, nil},
		{"half a file", source(t, ca[:len(ca)/2], info, root), nil},
		{"half a kube-root-ca.crt", source(t, ca, info, rootCA(ca+"\n"+ca[:100])), nil},
		{"garbage in cluster-info", source(t, ca, clusterInfo("https://a:6443", "garbage"), root), nil},
		{"a key in the file", source(t, strings.ReplaceAll(ca, "CERTIFICATE", "PRIVATE KEY"), info, root), nil},
		{"nothing but expired ones", source(t, authority(t, -time.Hour, -time.Second), clusterInfo("https://a:6443", ""), rootCA("")), nil},
	} {
		_, err := test.source.Cluster(t.Context())
		if test.is == errFine && err != nil || test.is != errFine && (err == nil || test.is != nil && !errors.Is(err, test.is)) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

var errFine = errors.New("no error is expected")

func TestAnUnreachableAPIServerIsNoMissingConfigMap(t *testing.T) {
	ca := authority(t, 0, time.Hour)
	client := fake.NewClientset()
	client.PrependReactor("get", "configmaps", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	s := source(t, ca)
	s.Endpoint, s.Public, s.System = "10.0.0.1:6443", client.CoreV1().ConfigMaps("kube-public"), client.CoreV1().ConfigMaps("kube-system")
	if got, err := s.Cluster(t.Context()); err == nil {
		t.Errorf("got %+v", got)
	}
}
