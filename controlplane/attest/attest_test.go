package attest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/lab/awssim"
)

const request = "-----BEGIN CERTIFICATE REQUEST-----"

// world is a simulated AWS with one instance.
func world(t testing.TB, region string) (*awssim.World, awssim.Instance) {
	t.Helper()
	w := &awssim.World{Region: region}
	t.Cleanup(w.Close)
	i, err := w.AddInstance(awssim.InstanceSpec{Role: "joinery-node"})
	if err != nil {
		t.Fatal(err)
	}
	return w, i
}

// instanceConfig is what the SDK has on the instance: credentials from IMDS.
func instanceConfig(w *awssim.World, id string) aws.Config {
	c := w.Config("unused")
	meta := imds.New(imds.Options{
		DisableDefaultTimeout: true, // the machine that tests may be busy
		Endpoint:              "http://169.254.169.254", HTTPClient: &http.Client{Transport: awssim.Transport(w.IMDS(id))},
	})
	c.Credentials = aws.NewCredentialsCache(ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta }))
	return c
}

func prove(t testing.TB, c aws.Config, cluster, request string) string {
	t.Helper()
	p, err := proof.NewSigner(c).Prove(t.Context(), cluster, []byte(request))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func verifier(w *awssim.World, change func(*attest.Options)) *attest.Verifier {
	o := attest.Options{Cluster: "demo", Roles: []string{"joinery-node"}, Transport: w.Transport()}
	if change != nil {
		change(&o)
	}
	return attest.NewVerifier(w.Config("joinery-controller"), o)
}

func TestHonestProof(t *testing.T) {
	for _, region := range []string{"us-west-2", "us-east-1", "cn-north-1", "us-gov-west-1"} {
		t.Run(region, func(t *testing.T) {
			w, i := world(t, region)
			now := time.Now()
			id, err := verifier(w, nil).Verify(t.Context(), prove(t, instanceConfig(w, i.ID), "demo", request), []byte(request), now, now)
			want := attest.Identity{Kind: v1alpha1.ProofNodeRole, Partition: w.Partition(), Account: "123456789012", Role: "joinery-node", InstanceID: i.ID}
			if err != nil || id != want {
				t.Errorf("got %+v, %v: expected %+v", id, err, want)
			}
			want.Kind, want.Role = v1alpha1.ProofInstanceIdentity, "aws:ec2-instance"
			id, err = verifier(w, nil).Verify(t.Context(), prove(t, identityConfig(t, w, i.ID), "demo", request), []byte(request), now, now)
			if err != nil || id != want {
				t.Errorf("got %+v, %v: expected %+v", id, err, want)
			}
		})
	}
}

// edit returns p with its query changed.
func edit(t testing.TB, p string, change func(url.Values)) string {
	t.Helper()
	u, err := url.Parse(p)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	change(q)
	u.RawQuery = q.Encode()
	return u.String()
}

func set(name, value string) func(url.Values) {
	return func(q url.Values) { q.Set(name, value) }
}

func TestFalseProofs(t *testing.T) {
	w, i := world(t, "us-west-2")
	stranger, err := w.AddInstance(awssim.InstanceSpec{Role: "bastion"})
	if err != nil {
		t.Fatal(err)
	}
	node := instanceConfig(w, i.ID)
	honest := prove(t, node, "demo", request)
	otherRegion := node
	otherRegion.Region = "us-east-1"
	for _, test := range []struct {
		name, proof string
		why         attest.Why
		calls       int // of STS
	}{
		{"of another request", prove(t, node, "demo", "another"), attest.Rejected, 1},
		{"of another cluster", prove(t, node, "prod", request), attest.Rejected, 1},
		{"of another role", prove(t, instanceConfig(w, stranger.ID), "demo", request), attest.OtherIdentity, 1},
		{"of a session with a chosen name", prove(t, w.Config("joinery-node"), "demo", request), attest.OtherIdentity, 1},
		{"signature changed", edit(t, honest, set("X-Amz-Signature", strings.Repeat("0", 64))), attest.Rejected, 1},
		{"session token of nobody", edit(t, honest, set("X-Amz-Security-Token", "x")), attest.Rejected, 1},
		{"later date", edit(t, honest, set("X-Amz-Date", time.Now().UTC().Add(time.Second).Format("20060102T150405Z"))), attest.Rejected, 1},
		{"signed for another region", prove(t, otherRegion, "demo", request), attest.OtherEndpoint, 0},
		{"sent elsewhere", strings.Replace(honest, "awssim.invalid", "attacker.example", 1), attest.OtherEndpoint, 0},
		{"sent to a port of its own", strings.Replace(honest, "awssim.invalid", "awssim.invalid:81", 1), attest.OtherEndpoint, 0},
		{"sent by another scheme", strings.Replace(honest, "http:", "gopher:", 1), attest.OtherEndpoint, 0},
		{"with a user", strings.Replace(honest, "http://", "http://a@", 1), attest.Malformed, 0},
		{"with a path", strings.Replace(honest, ".invalid/", ".invalid/latest/", 1), attest.Malformed, 0},
		{"with a fragment", honest + "#x", attest.Malformed, 0},
		{"another action", edit(t, honest, set("Action", "GetSessionToken")), attest.Malformed, 0},
		{"two actions", honest + "&Action=GetCallerIdentity", attest.Malformed, 0},
		{"another parameter", honest + "&Foo=bar", attest.Malformed, 0},
		{"another version", edit(t, honest, set("Version", "2011-01-01")), attest.Malformed, 0},
		{"fewer signed headers", edit(t, honest, set("X-Amz-SignedHeaders", "host")), attest.Malformed, 0},
		{"more signed headers", edit(t, honest, set("X-Amz-SignedHeaders", "host;x-evil;x-joinery-cluster;x-joinery-request-sha256")), attest.Malformed, 0},
		{"lasting credentials", edit(t, honest, func(q url.Values) { q.Del("X-Amz-Security-Token") }), attest.Malformed, 0},
		{"no signature", edit(t, honest, func(q url.Values) { q.Del("X-Amz-Signature") }), attest.Malformed, 0},
		{"no date", edit(t, honest, set("X-Amz-Date", "now")), attest.Malformed, 0},
		{"scope of another service", edit(t, honest, func(q url.Values) {
			q.Set("X-Amz-Credential", strings.Replace(q.Get("X-Amz-Credential"), "/sts/", "/ec2/", 1))
		}), attest.Malformed, 0},
		{"empty query", "http://awssim.invalid/", attest.Malformed, 0},
		{"no URL", "AWS4-HMAC-SHA256 Credential=x", attest.Malformed, 0},
		{"too long", edit(t, honest, set("X-Amz-Expires", strings.Repeat("0", v1alpha1.MaxProofBytes))), attest.Malformed, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := verifier(w, nil)
			now := time.Now()
			// The verifier's own question, and the honest answer.
			if _, err := v.Verify(t.Context(), honest, []byte(request), now, now); err != nil {
				t.Fatal(err)
			}
			w.ForgetCalls()
			id, err := v.Verify(t.Context(), test.proof, []byte(request), now, now)
			var f *attest.FalseError
			if !errors.As(err, &f) || f.Why != test.why {
				t.Errorf("got %+v, %v: expected %s", id, err, test.why)
			}
			if n := len(w.CallsTo("sts", "GetCallerIdentity")); n != test.calls {
				t.Errorf("STS was asked %d times: expected %d", n, test.calls)
			}
			for _, secret := range secrets(t, test.proof) {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error repeats the proof: %v", err)
				}
			}
		})
	}
}

// secrets are the parts of a proof that must not be repeated.
func secrets(t testing.TB, p string) []string {
	t.Helper()
	u, err := url.Parse(p)
	if err != nil {
		return nil
	}
	var out []string
	for _, name := range []string{"X-Amz-Signature", "X-Amz-Security-Token"} {
		if v := u.Query().Get(name); len(v) > 8 {
			out = append(out, v)
		}
	}
	return out
}

func TestProofOfAnotherMoment(t *testing.T) {
	w, i := world(t, "us-west-2")
	p := prove(t, instanceConfig(w, i.ID), "demo", request)
	v, now := verifier(w, nil), time.Now()
	for _, test := range []struct {
		name         string
		created, now time.Time
		good         bool
		why          attest.Why
	}{
		{"request a minute after", now.Add(time.Minute), now.Add(time.Minute), true, ""},
		{"clock of the node a minute ahead", now.Add(-time.Minute), now, true, ""},
		{"kept for three minutes", now.Add(3 * time.Minute), now.Add(3 * time.Minute), false, attest.Skewed},
		{"made in advance", now.Add(-3 * time.Minute), now, false, attest.Skewed},
		{"judged after a quarter of an hour", now, now.Add(15 * time.Minute), false, attest.Expired},
		{"judged after ten minutes", now, now.Add(10 * time.Minute), true, ""},
	} {
		_, err := v.Verify(t.Context(), p, []byte(request), test.created, test.now)
		var f *attest.FalseError
		if test.good != (err == nil) || (!test.good && (!errors.As(err, &f) || f.Why != test.why)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestOtherAccount(t *testing.T) {
	w, i := world(t, "us-west-2")
	foreign := &awssim.World{AccountID: "999999999999"}
	t.Cleanup(foreign.Close)
	// The verifier is of one account, STS knows instances of the other.
	v := attest.NewVerifier(foreign.Config("joinery-controller"), attest.Options{Cluster: "demo", Roles: []string{"joinery-node"}, Transport: w.Transport()})
	now := time.Now()
	_, err := v.Verify(t.Context(), prove(t, instanceConfig(w, i.ID), "demo", request), []byte(request), now, now)
	var f *attest.FalseError
	if !errors.As(err, &f) || f.Why != attest.OtherIdentity || !strings.Contains(err.Error(), "expected 999999999999") {
		t.Errorf("got %v", err)
	}
}

// An STS that does not answer as it should proves nothing, in either direction.
func TestUnknownIsNotFalse(t *testing.T) {
	w, i := world(t, "us-west-2")
	p := prove(t, instanceConfig(w, i.ID), "demo", request)
	big := "<GetCallerIdentityResponse><x>" + strings.Repeat("x", 1<<20) + "</x></GetCallerIdentityResponse>"
	answer := func(arn, user, account string) string {
		return fmt.Sprintf("<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>%s</Arn><UserId>%s</UserId><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>", arn, user, account)
	}
	role := "arn:aws:sts::123456789012:assumed-role/joinery-node/" + i.ID
	for name, serve := range map[string]http.HandlerFunc{
		"redirect": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://attacker.example/", http.StatusTemporaryRedirect)
		},
		"throttled": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(400)
			fmt.Fprint(rw, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>")
		},
		"endpoint policy": func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(403)
			fmt.Fprint(rw, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>")
		},
		"outage":  func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(503) },
		"no XML":  func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "hello") },
		"endless": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, big) },
		"empty":   func(http.ResponseWriter, *http.Request) {},
		"two accounts": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer(role, "AROA:"+i.ID, "999999999999"))
		},
		"two sessions": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer(role, "AROA:i-1", "123456789012"))
		},
		"an instance identity of a role": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer("arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/"+i.ID, "AROA:"+i.ID, "123456789012"))
		},
		"an instance identity of another account": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer("arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/"+i.ID, "999999999999:aws:ec2-instance:"+i.ID, "123456789012"))
		},
		"instance identities of two instances": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer("arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/"+i.ID, "123456789012:aws:ec2-instance:i-1", "123456789012"))
		},
		"a role with the id of an instance identity": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer(role, "123456789012:aws:ec2-instance:"+i.ID, "123456789012"))
		},
		"a role without an id": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer(role, ":"+i.ID, "123456789012"))
		},
		"no ARN": func(rw http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(rw, answer("x", "AROA:"+i.ID, "123456789012"))
		},
		"error as a 200": func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<ErrorResponse/>") },
	} {
		t.Run(name, func(t *testing.T) {
			v := verifier(w, func(o *attest.Options) { o.Transport = awssim.Transport(serve) })
			now := time.Now()
			id, err := v.Verify(t.Context(), p, []byte(request), now, now)
			var f *attest.FalseError
			if err == nil || errors.As(err, &f) {
				t.Errorf("got %+v, %v: expected that it is not known", id, err)
			}
			if err != nil && strings.Contains(err.Error(), "X-Amz") {
				t.Errorf("the error repeats the proof: %v", err)
			}
		})
	}
}

// Users, federated ones and roots sign requests too, and are no instances.
func TestSignersThatAreNoInstances(t *testing.T) {
	w, i := world(t, "us-west-2")
	p := prove(t, instanceConfig(w, i.ID), "demo", request)
	for _, arn := range []string{
		"arn:aws:iam::123456789012:user/joinery-node", "arn:aws:iam::123456789012:root",
		"arn:aws:sts::123456789012:federated-user/" + i.ID, "arn:aws:iam::123456789012:user/joinery-node/" + i.ID,
		"arn:aws:sts::123456789012:assumed-role/joinery-node/" + i.ID + "/" + i.ID,
		"arn:aws:iam::123456789012:assumed-role/joinery-node/" + i.ID,
		"arn:aws:iam::123456789012:assumed-role/aws:ec2-instance/" + i.ID,
		"arn:aws:iam::123456789012:role/aws:ec2-instance/" + i.ID,
		"arn:aws:sts::123456789012:assumed-role/aws/ec2-instance/" + i.ID,
		"arn:aws:sts::123456789012:assumed-role/x/aws:ec2-instance/" + i.ID,
		"arn:aws:sts::123456789012:assumed-role/aws:ec2-instance",
		"arn:aws:sts::123456789012:assumed-role/AWS:EC2-Instance/" + i.ID,
		"arn:aws:sts::123456789012:assumed-role/aws:ec2-instance-connect/" + i.ID,
		"arn:aws:sts::123456789012:federated-user/aws:ec2-instance/" + i.ID,
	} {
		v := verifier(w, func(o *attest.Options) {
			o.Transport = awssim.Transport(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(rw, "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>%s</Arn><UserId>AIDA:%s</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>", arn, i.ID)
			}))
		})
		now := time.Now()
		id, err := v.Verify(t.Context(), p, []byte(request), now, now)
		var f *attest.FalseError
		if !errors.As(err, &f) || f.Why != attest.OtherIdentity {
			t.Errorf("%s: got %+v, %v", arn, id, err)
		}
	}
}

// With a real socket: no redirect is followed and a hanging answer is given up.
func TestOverASocket(t *testing.T) {
	w, i := world(t, "us-west-2")
	var elsewhere atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Store(true) }))
	defer other.Close()
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get(v1alpha1.ProofClusterHeader) != "" {
			http.Redirect(rw, r, other.URL, http.StatusFound)
			return
		}
		w.ServeHTTP(rw, r)
	}))
	defer front.Close()
	on := func(c aws.Config) aws.Config { c.BaseEndpoint, c.HTTPClient = &front.URL, nil; return c }
	v := attest.NewVerifier(on(w.Config("joinery-controller")), attest.Options{Cluster: "demo", Roles: []string{"joinery-node"}})
	now := time.Now()
	_, err := v.Verify(t.Context(), prove(t, on(instanceConfig(w, i.ID)), "demo", request), []byte(request), now, now)
	if err == nil || elsewhere.Load() {
		t.Errorf("the redirect was followed: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ended, prove(t, on(instanceConfig(w, i.ID)), "demo", request), []byte(request), now, now); err == nil {
		t.Error("verified without an answer")
	}
}

func TestCallsAreLimited(t *testing.T) {
	w, i := world(t, "us-west-2")
	v, now := verifier(w, nil), time.Now()
	p := edit(t, prove(t, instanceConfig(w, i.ID), "demo", request), set("X-Amz-Signature", "0"))
	rejected, held := 0, 0
	for range 300 {
		_, err := v.Verify(t.Context(), p, []byte(request), now, now)
		var f *attest.FalseError
		if errors.As(err, &f) {
			rejected++
		} else if err != nil {
			held++
		}
	}
	if rejected != 200 || held != 100 {
		t.Errorf("%d proofs were sent to STS and %d not: expected 200 and 100", rejected, held)
	}
}

// Whatever stands in the annotation: no panic, and never an identity.
func FuzzVerify(f *testing.F) {
	w, i := world(f, "us-west-2")
	f.Add(prove(f, instanceConfig(w, i.ID), "demo", "another"))
	f.Add("http://awssim.invalid/?Action=GetCallerIdentity")
	f.Add("%zz")
	v := verifier(w, nil)
	f.Fuzz(func(t *testing.T, p string) {
		now := time.Now()
		if id, err := v.Verify(t.Context(), p, []byte(request), now, now); err == nil {
			t.Errorf("%q proves %+v", p, id)
		}
	})
}
