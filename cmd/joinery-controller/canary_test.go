package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/events"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/internal/output"
)

// The canaries: what the programs hold and must not say.
const (
	canaryKey     = "canaryOfASecretAccessKey0123456789abcdef"
	canarySession = "canaryOfASessionToken+/IQoJb3JpZ2luX2VjE"
	canaryBearer  = "canaryOfABearerToken"
)

// echo is an AWS or an API server of the worst kind: it refuses everything and
// repeats, in the words of its error, the whole request.
type echo struct {
	body func(dump string) (contentType, body string)
}

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	dump, err := httputil.DumpRequestOut(r, true)
	if err != nil {
		return nil, err
	}
	kind, body := e.body(string(dump))
	return &http.Response{
		StatusCode: http.StatusBadRequest, Status: "400 Bad Request", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func quoted(s string) string {
	out, _ := json.Marshal(s) // a string always encodes
	return string(out)
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder never fails
	return b.String()
}

var (
	echoingAWS = echo{func(dump string) (string, string) {
		if strings.Contains(dump, "x-amz-json") {
			return "application/x-amz-json-1.1", `{"__type":"ValidationException","message":` + quoted(dump) + `}`
		}
		return "text/xml", "<Response><Errors><Error><Code>ValidationError</Code><Message>" + escaped(dump) + "</Message></Error></Errors>" +
			"<Error><Code>ValidationError</Code><Message>" + escaped(dump) + "</Message></Error></Response>"
	}}
	echoingAPI = echo{func(dump string) (string, string) {
		return "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":` + quoted(dump) + `}`
	}}
)

// transcript is what comes out of the program; it is written by many goroutines.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// play runs all services of the controller and returns what came out: for three
// seconds, and on a busy machine until tried is among it.
func play(t *testing.T, client kubernetes.Interface, tried string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), []byte(canaryCA(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	var out transcript
	log := output.NewLogger(&out, slog.LevelDebug)
	told := record.NewFakeRecorder(10000)
	reg := prometheus.NewRegistry()
	spec := canarySpec(t, dir)
	p, err := assemble(spec, aws.Config{
		Region: "us-west-2", BaseEndpoint: aws.String("http://aws.invalid"), HTTPClient: &http.Client{Transport: echoingAWS},
		Credentials:      credentials.NewStaticCredentialsProvider("ASIACANARY", canaryKey, canarySession),
		RetryMaxAttempts: 1,
	}, client, events.NewRecorder(told), reg, log, &progress.Board{}, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() {
		time.Sleep(3 * time.Second)
		for ctx.Err() == nil && !strings.Contains(out.String(), tried) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	var running sync.WaitGroup
	for _, s := range p.services {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				log.Error("service ended", "service", s.Name, "error", err)
			}
		})
	}
	running.Wait()
	close(told.Events)
	for e := range told.Events {
		fmt.Fprintln(&out, "event:", e)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		fmt.Fprintln(&out, f)
	}
	return out.String()
}

// silent wants no canary in text, in any form.
func silent(t *testing.T, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		for _, form := range []string{s, base64.StdEncoding.EncodeToString([]byte(s)), strings.ReplaceAll(s, "+", "%2B"), quoted(s)} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("it says a secret: …%s[here]", text[max(0, at-300):at])
				break
			}
		}
	}
}

// AWS repeats what it is sent in its errors: the bundle with its token, and the
// credentials that the request was signed with.
func TestNoSecretComesOutOfAWSErrors(t *testing.T) {
	client := fake.NewClientset()
	client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &apiversion.Info{GitVersion: "v1.37.2"}
	text := play(t, client, "ValidationE")
	all, err := client.CoreV1().Secrets(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{canaryKey, canarySession}
	for _, s := range all.Items {
		if s.Type == corev1.SecretTypeBootstrapToken {
			secrets = append(secrets, string(s.Data["token-secret"]))
		}
	}
	if !strings.Contains(text, "ValidationE") {
		t.Errorf("no error of AWS came out, so nothing was tried:\n%s", text)
	}
	silent(t, text, secrets...)
}

// The API server repeats what it is sent: the token's Secret, and who sent it.
func TestNoSecretComesOutOfAPIErrors(t *testing.T) {
	var sent transcript
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: "http://api.invalid", BearerToken: canaryBearer,
		Transport: tee{&sent, echoingAPI},
	})
	if err != nil {
		t.Fatal(err)
	}
	text := play(t, client, "error=")
	if !strings.Contains(text, "error=") || !strings.Contains(sent.String(), canaryBearer) {
		t.Errorf("no error of the API server came out, so nothing was tried:\n%s", text)
	}
	silent(t, text, canaryBearer, canaryKey, canarySession)
}

// tee keeps what was sent.
type tee struct {
	sent *transcript
	next http.RoundTripper
}

func (t tee) RoundTrip(r *http.Request) (*http.Response, error) {
	fmt.Fprintln(t.sent, r.Header)
	return t.next.RoundTrip(r)
}

func canarySpec(t *testing.T, dir string) v1alpha1.ControllerSpec {
	t.Helper()
	c, err := v1alpha1.DecodeControllerConfig([]byte(fmt.Sprintf(`
apiVersion: joinery.dev/v1alpha1
kind: ControllerConfig
spec: {cluster: demo, region: us-west-2, vpcID: vpc-1, endpoint: "10.0.0.1:6443", caFile: %s/ca.crt, approver: {nodeRoles: [node]},
  lifecycle: {queueURL: "https://sqs.us-west-2.amazonaws.com/123456789012/joinery-demo"}}
`, dir)))
	if err != nil {
		t.Fatal(err)
	}
	return c.Spec
}

// canaryCA is a certificate authority for the bundle.
func canaryCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
