package proof_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	sdk "github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
)

const request = "-----BEGIN CERTIFICATE REQUEST-----"

// prover is what an agent has on the instance.
func prover(w *awssim.World, id string, log io.Writer) *proof.Instance {
	reach := func(o *sdk.Options) {
		o.HTTPClient, o.Retryer = &http.Client{Transport: awssim.Transport(w.IMDS(id))}, aws.NopRetryer{}
	}
	c := w.Config("unused")
	c.Credentials = aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = imds.NewSDK(reach) }))
	return proof.NewInstance(c, imds.New(reach), slog.New(slog.NewTextHandler(log, nil)))
}

// signer sends a proof to STS and returns who it says signed it.
func signer(t *testing.T, w *awssim.World, address string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range v1alpha1.ProofHeaders("demo", []byte(request)) {
		r.Header.Set(name, value)
	}
	answer, err := (&http.Client{Transport: w.Transport()}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), ":assumed-role/")
	who, _, _ := strings.Cut(rest, "<")
	return who
}

func TestProofIsTheBestThatTheInstanceHas(t *testing.T) {
	w := &awssim.World{}
	t.Cleanup(w.Close)
	i, err := w.AddInstance(awssim.InstanceSpec{Role: "node"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := prover(w, i.ID, &log)
	const path = "/latest/meta-data/identity-credentials"
	for _, test := range []struct {
		name    string
		prepare func() (undo func())
		want    string // empty: an error
	}{
		{"both", func() func() { return func() {} }, "aws:ec2-instance/" + i.ID},
		{"no identity role", func() func() {
			w.SetInstanceIdentity(i.ID, false)
			return func() { w.SetInstanceIdentity(i.ID, true) }
		}, "node/" + i.ID},
		{"identity role again", func() func() { return func() {} }, "aws:ec2-instance/" + i.ID},
		{"no answer for it", func() func() {
			return w.Inject(awssim.Fault{Service: "imds", Action: path, Status: http.StatusServiceUnavailable, Code: "x"})
		}, ""},
	} {
		undo := test.prepare()
		got, err := p.Prove(t.Context(), "demo", []byte(request))
		undo()
		if test.want == "" {
			var unavailable *imds.UnavailableError
			if !errors.As(err, &unavailable) {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if who := signer(t, w, got); who != test.want {
			t.Errorf("%s: signed by %q: want %q", test.name, who, test.want)
		}
	}
	for n, want := range []string{"node/", "aws:ec2-instance/", "node/"} {
		p.Doubt()
		got, err := p.Prove(t.Context(), "demo", []byte(request))
		if err != nil || signer(t, w, got) != want+i.ID {
			t.Errorf("after doubt %d: signed by %q, %v: want %q", n+1, signer(t, w, got), err, want+i.ID)
		}
	}
	for _, secret := range w.Secrets() {
		if strings.Contains(log.String(), secret) {
			t.Error("the log has a secret")
		}
	}
}
