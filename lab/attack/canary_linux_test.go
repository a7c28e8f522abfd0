package attack_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
)

// After the attacks, a rotation, an outage of SSM and a crash, no secret stands in
// anything that came out: journals, events, objects, metrics, decisions, command
// lines and the dump of a crash.
func TestAttackerReadsEverythingThatCameOut(t *testing.T) {
	s := open(t)
	s.provoke()
	secrets := s.secrets()
	for source, text := range s.everything() {
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				at := strings.Index(text, secret)
				t.Errorf("%s: holds %s: …%s[here]", source, what, text[max(0, at-200):at])
			}
		}
		if strings.Contains(text, "PRIVATE KEY-----\n") {
			t.Errorf("%s: holds a private key", source)
		}
	}
}

// provoke makes the programs say as much as they can: a rotation that meets errors
// of AWS, and a crash with the stacks of all goroutines.
func (s *scene) provoke() {
	s.t.Helper()
	before := s.stolen().TokenID()
	refuse := s.World.Inject(awssim.Fault{Service: "ssm", Code: "ValidationException"})
	s.mustExec("systemctl", "reload", site.ControllerUnit)
	time.Sleep(5 * time.Second)
	refuse()
	s.until("a rotation", func() bool { return s.stolen().TokenID() != before })
	s.mustExec("systemctl", "kill", "--signal=QUIT", site.ControllerUnit)
	s.until("the dump of the crash", func() bool { return strings.Contains(s.journal("goroutine "), "goroutine ") })
}

func (s *scene) mustExec(args ...string) string {
	s.t.Helper()
	out, err := s.Cluster.Master().Exec(s.t.Context(), args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(out)
}

func (s *scene) until(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(90 * time.Second); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s did not come", what)
		}
	}
}

// journal is what the master's units have written, the lines with a text in them.
func (s *scene) journal(grep string) string {
	s.t.Helper()
	return s.mustExec("sh", "-c", "journalctl --no-pager --output=cat | grep -aF -- '"+grep+"' || true")
}

// secrets are all that there are, in the forms in which they could come out.
func (s *scene) secrets() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	add := func(what, secret string) {
		out[what] = secret
		out[what+" in base64"] = base64.StdEncoding.EncodeToString([]byte(secret))
		if escaped := url.QueryEscape(secret); escaped != secret {
			out[what+" in a URL"] = escaped
		}
	}
	client := ssm.NewFromConfig(s.World.Config("operator"))
	history, err := client.GetParameterHistory(s.t.Context(), &ssm.GetParameterHistoryInput{
		Name: aws.String(v1alpha1.ParameterName(clusterName)), WithDecryption: aws.Bool(true)})
	if err != nil || len(history.Parameters) < 2 {
		s.t.Fatalf("%+v, %v: expected two bundles", history, err)
	}
	for _, p := range history.Parameters {
		b, err := v1alpha1.DecodeJoinBundle([]byte(aws.ToString(p.Value)))
		if err != nil {
			s.t.Fatal(err)
		}
		_, half, _ := strings.Cut(b.Token.Reveal(), ".")
		add("the secret half of token "+b.TokenID(), half)
	}
	sessions := s.World.Secrets()
	if len(sessions) < 4 {
		s.t.Fatalf("%d secrets of sessions", len(sessions))
	}
	for n, secret := range sessions {
		add(fmt.Sprintf("secret %d of a session", n), secret)
	}
	return out
}

// everything is all that came out.
func (s *scene) everything() map[string]string {
	s.t.Helper()
	out := map[string]string{
		"metrics":   s.mustExec("curl", "--silent", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "http://127.0.0.1:9810/metrics"),
		"decisions": s.mustExec("curl", "--silent", "--retry", "5", "--retry-connrefused", "http://127.0.0.1:9810/decisions"),
	}
	for _, m := range append([]string{s.Cluster.Master().ID()}, s.member(workers).ID, s.member(victims).ID) {
		machine, ok := s.Host.Machine(m)
		if !ok {
			s.t.Fatalf("instance %s has no machine", m)
		}
		for what, command := range map[string]string{
			"journal":       "journalctl --no-pager --output=export",
			"command lines": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
			"environments":  "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '",
		} {
			text, err := machine.Exec(s.t.Context(), "sh", "-c", command)
			if err != nil {
				s.t.Fatal(err)
			}
			out[what+" of "+m] = string(text)
		}
	}
	for what, args := range map[string][]string{
		"events":      {"get", "events", "--all-namespaces", "--output=json"},
		"config maps": {"get", "configmaps", "--all-namespaces", "--output=json"},
		"nodes":       {"get", "nodes", "--output=json"},
		"leases":      {"get", "leases", "--all-namespaces", "--output=json"},
	} {
		text, err := s.Cluster.Kubectl(s.t.Context(), nil, args...)
		if err != nil {
			s.t.Fatal(err)
		}
		out[what] = string(text)
	}
	out["signing requests"] = s.requests()
	for source, text := range out {
		if len(text) == 0 {
			s.t.Errorf("%s: is empty", source)
		}
	}
	return out
}

// requests are the signing requests without their proofs, which hold the token of
// the signer's session: without its secret key that is of no use.
func (s *scene) requests() string {
	s.t.Helper()
	all, err := s.Cluster.Client().CertificatesV1().CertificateSigningRequests().List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	var out strings.Builder
	for _, r := range all.Items {
		delete(r.Annotations, v1alpha1.STSProofAnnotation)
		out.WriteString(r.String())
	}
	return out.String()
}
