package doctor_test

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"k8s.io/client-go/util/cert"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/lab/awssim"
)

const parameter = "/joinery/demo/join"

// apiServer listens with a certificate for 127.0.0.1 and returns its address and
// its CA.
func apiServer(t *testing.T) (address, ca string) {
	t.Helper()
	// Certificate and CA in one PEM text, the CA last.
	chain, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	s.StartTLS()
	t.Cleanup(s.Close)
	authority := pair.Certificate[len(pair.Certificate)-1]
	return s.Listener.Addr().String(), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority}))
}

func TestJoinBundle(t *testing.T) {
	address, ca := apiServer(t)
	_, otherCA := apiServer(t)
	now := time.Now().UTC().Truncate(time.Second)
	bundleWith := func(change func(*v1alpha1.JoinBundle)) string {
		b := &v1alpha1.JoinBundle{Cluster: "demo", Endpoint: address, CACert: ca, Token: "abcdef." + canary,
			IssuedAt: now, ExpiresAt: now.Add(3 * time.Hour), KubernetesVersion: "v1.37.2"}
		if change != nil {
			change(b)
		}
		text, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	trusted := want{doctor.OK, "answers with a certificate of the published CA", "", ""}
	good := want{doctor.OK, "has token abcdef with 3h0m0s left", "", ""}
	for _, tt := range []struct {
		name  string
		value string // "": nothing is published
		kind  types.ParameterType
		fault awssim.Fault
		want  []want
	}{
		{name: "as it should be", value: bundleWith(nil), want: []want{good, trusted}},
		{name: "nothing is published", want: []want{{doctor.Broken, "does not exist", "cannot join", "joinery token rotate"}}},
		{name: "in clear", value: bundleWith(nil), kind: types.ParameterTypeString,
			want: []want{{doctor.Unsafe, "is a String, not a SecureString", "", "aws ssm delete-parameter"}, good, trusted}},
		{name: "no bundle", value: "jointoken", want: []want{{doctor.Broken, "holds no join bundle", "", ""}}},
		{name: "of another cluster", value: bundleWith(func(b *v1alpha1.JoinBundle) { b.Cluster = "prod" }),
			want: []want{{doctor.Broken, "another cluster's", "", ""}, trusted}},
		{name: "expired", value: bundleWith(func(b *v1alpha1.JoinBundle) { b.IssuedAt, b.ExpiresAt = now.Add(-time.Hour), now }),
			want: []want{{doctor.Broken, "of no use: expiresAt", "", "joinery token rotate"}, trusted}},
		{name: "rotation is late", value: bundleWith(func(b *v1alpha1.JoinBundle) {
			b.IssuedAt, b.ExpiresAt = now.Add(-150*time.Minute), now.Add(30*time.Minute)
		}),
			want: []want{{doctor.Warning, "only 30m0s left", "rotation is late", ""}, trusted}},
		{name: "a token that is gone", value: bundleWith(func(b *v1alpha1.JoinBundle) { b.Token = "zzzzzz." + canary }),
			want: []want{{doctor.OK, "token zzzzzz", "", ""}, {doctor.Broken, "does not know the published token zzzzzz", "", "joinery token rotate"}, trusted}},
		{name: "another CA", value: bundleWith(func(b *v1alpha1.JoinBundle) { b.CACert = otherCA }),
			want: []want{good, {doctor.Broken, "is not of the published CA", "in between", "openssl s_client -connect " + address}}},
		{name: "another name", value: bundleWith(func(b *v1alpha1.JoinBundle) {
			b.Endpoint = "localhost" + address[strings.LastIndex(address, ":"):]
		}), want: []want{good, {doctor.Broken, "is not of the published CA", "", ""}}},
		{name: "out of reach", value: bundleWith(func(b *v1alpha1.JoinBundle) { b.Endpoint = "127.0.0.1:1" }),
			want: []want{good, {doctor.Unknown, "127.0.0.1:1 does not answer from here", "", ""}}},
		{name: "no right", value: bundleWith(nil), fault: awssim.Fault{Code: "AccessDeniedException", Status: 400},
			want: []want{{doctor.Unknown, "AccessDeniedException", "", ""}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			world := &awssim.World{}
			t.Cleanup(world.Close)
			config := world.Config("operator")
			config.RetryMaxAttempts = 1
			api := ssm.NewFromConfig(config)
			if tt.value != "" {
				kind := tt.kind
				if kind == "" {
					kind = types.ParameterTypeSecureString
				}
				if _, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(parameter), Value: &tt.value, Type: kind}); err != nil {
					t.Fatal(err)
				}
				world.Settle()
			}
			if tt.fault.Code != "" {
				tt.fault.Action = "GetParameter"
				world.Inject(tt.fault)
			}
			found := examine(t, doctor.Cluster{Client: server(t, healthy(t)...), Name: "demo", Published: &doctor.Published{Parameters: api, Name: parameter}}, "join-bundle")
			if len(found) != len(tt.want) {
				t.Fatalf("got %+v, want %+v", found, tt.want)
			}
			for i, w := range tt.want {
				f := found[i]
				if f.Level != w.level || !strings.Contains(f.Found, w.found) || !strings.Contains(f.Why, w.why) || !strings.Contains(f.Mend, w.mend) {
					t.Errorf("got  %+v\nwant %+v", f, w)
				}
			}
		})
	}
}

// Everything that is said, over clusters full of tokens, holds no token.
func TestNoSecretIsSaid(t *testing.T) {
	world := &awssim.World{}
	t.Cleanup(world.Close)
	api := ssm.NewFromConfig(world.Config("operator"))
	for _, value := range []string{
		"abcdef." + canary,
		`{"apiVersion":"joinery.dev/v1alpha1","kind":"JoinBundle","cluster":"demo","token":"abcdef.` + canary + `"}`,
		`{"apiVersion":"joinery.dev/v1alpha1","kind":"JoinBundle","` + canary + `":1,"endpoint":"x"`,
	} {
		if _, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(parameter), Value: &value, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		world.Settle()
		objects := append(healthy(t), tokenSecret("aaaaaa", "", map[string]string{"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true"}))
		found := doctor.Examine(t.Context(), doctor.Cluster{Client: server(t, objects...), Name: "demo", Published: &doctor.Published{Parameters: api, Name: parameter}})
		var out strings.Builder
		if err := doctor.WriteJSON(&out, found); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), canary) {
			t.Errorf("a secret is said:\n%s", &out)
		}
	}
}
