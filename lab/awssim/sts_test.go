package awssim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

const (
	clusterHeader = "X-Joinery-Cluster"
	requestHeader = "X-Joinery-Request-Sha256"
)

// shifted signs as if at another time, with further query parameters.
type shifted struct {
	by    time.Duration
	query map[string]string
}

func (s shifted) PresignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	q := r.URL.Query()
	for k, v := range s.query {
		q.Set(k, v)
	}
	r.URL.RawQuery = q.Encode()
	return v4.NewSigner().PresignHTTP(ctx, c, r, hash, service, region, at.Add(s.by), opts...)
}

// overSocket is the world behind a real HTTP server and the configuration for it.
func overSocket(t *testing.T, w *awssim.World) aws.Config {
	t.Helper()
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	cfg := w.Config("controller")
	cfg.BaseEndpoint, cfg.HTTPClient, cfg.RetryMaxAttempts = &server.URL, nil, 1
	return cfg
}

// presignIdentity makes the request that proves who cfg's caller is, bound to
// two headers.
func presignIdentity(t *testing.T, cfg aws.Config, s shifted) (address string, header http.Header) {
	t.Helper()
	p := must(sts.NewPresignClient(sts.NewFromConfig(cfg)).PresignGetCallerIdentity(t.Context(), nil, func(o *sts.PresignOptions) {
		o.Presigner = s
		o.ClientOptions = append(o.ClientOptions, sts.WithAPIOptions(
			smithyhttp.AddHeaderValue(clusterHeader, "demo"), smithyhttp.AddHeaderValue(requestHeader, "abc")))
	}))(t)
	return p.URL, http.Header{clusterHeader: {"demo"}, requestHeader: {"abc"}}
}

// present sends a presigned request as a verifier does.
func present(t *testing.T, client *http.Client, address, host string, header http.Header) (status int, body string) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))(t)
	req.Header, req.Host = header, host
	resp := must(client.Do(req))(t)
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body))(t))
}

func TestPresignedIdentityIsWhatWasSigned(t *testing.T) {
	w, _ := newWorld(t)
	cfg := overSocket(t, w)
	const mismatch = "<Code>SignatureDoesNotMatch</Code><Message>The request signature we calculated does not match"
	tests := []struct {
		name   string
		sign   func(*aws.Config)
		signer shifted
		send   func(q url.Values, h http.Header) (host string)
		status int
		want   string
	}{
		{name: "as signed", status: 200, want: "assumed-role/controller/lab"},
		{name: "unsigned header added", send: func(_ url.Values, h http.Header) string { h.Set("X-Other", "1"); return "" }, status: 200, want: "<Arn>"},
		{name: "signed header changed", send: func(_ url.Values, h http.Header) string { h.Set(clusterHeader, "other"); return "" }, status: 403, want: mismatch},
		{name: "signed header missing", send: func(_ url.Values, h http.Header) string { h.Del(requestHeader); return "" }, status: 403, want: mismatch},
		{name: "signed header doubled", send: func(_ url.Values, h http.Header) string { h.Add(clusterHeader, "other"); return "" }, status: 403, want: mismatch},
		{name: "list of signed headers longer", send: func(q url.Values, h http.Header) string {
			h.Set("X-Other", "1")
			q.Set("X-Amz-SignedHeaders", q.Get("X-Amz-SignedHeaders")+";x-other")
			return ""
		}, status: 403, want: mismatch},
		{name: "list of signed headers shorter", send: func(q url.Values, h http.Header) string {
			h.Set(clusterHeader, "other")
			q.Set("X-Amz-SignedHeaders", "host;x-joinery-request-sha256")
			return ""
		}, status: 403, want: mismatch},
		{name: "host not signed", send: func(q url.Values, _ http.Header) string {
			q.Set("X-Amz-SignedHeaders", "x-joinery-cluster;x-joinery-request-sha256")
			return ""
		}, status: 403, want: "<Code>SignatureDoesNotMatch</Code><Message>&#39;host&#39; must be a &#39;SignedHeader&#39;"},
		{name: "unsigned x-amz header", send: func(_ url.Values, h http.Header) string { h.Set("X-Amz-Other", "1"); return "" }, status: 403, want: "&#39;x-amz-other&#39; must be a &#39;SignedHeader&#39;"},
		{name: "other host", send: func(url.Values, http.Header) string { return "sts.eu-west-1.amazonaws.com" }, status: 403, want: mismatch},
		{name: "signed for a host, sent to its address", sign: func(c *aws.Config) { c.BaseEndpoint = aws.String("https://sts.us-west-2.amazonaws.com") },
			send: func(url.Values, http.Header) string { return "sts.us-west-2.amazonaws.com" }, status: 200, want: "<Arn>"},
		{name: "signed for another host", sign: func(c *aws.Config) { c.BaseEndpoint = aws.String("https://sts.example.com") }, status: 403, want: mismatch},
		{name: "other action", send: func(q url.Values, _ http.Header) string { q.Set("Action", "GetSessionToken"); return "" }, status: 403, want: mismatch},
		{name: "signature cut", send: func(q url.Values, _ http.Header) string {
			q.Set("X-Amz-Signature", q.Get("X-Amz-Signature")[:40])
			return ""
		}, status: 403, want: mismatch},
		{name: "other region", sign: func(c *aws.Config) { c.Region = "eu-west-1" }, status: 403, want: "<Code>SignatureDoesNotMatch</Code><Message>Credential should be scoped to a valid region"},
		{name: "region exchanged", send: func(q url.Values, _ http.Header) string {
			q.Set("X-Amz-Credential", strings.Replace(q.Get("X-Amz-Credential"), "us-west-2", "us-east-1", 1))
			return ""
		}, status: 403, want: "scoped to a valid region"},
		{name: "other secret", sign: func(c *aws.Config) {
			creds := w.Credentials("controller")
			creds.SecretAccessKey = "x"
			c.Credentials = fixed(creds)
		}, status: 403, want: mismatch},
		{name: "another role's key", send: func(q url.Values, _ http.Header) string {
			other := w.Credentials("node")
			q.Set("X-Amz-Credential", other.AccessKeyID+q.Get("X-Amz-Credential")[len(other.AccessKeyID):])
			q.Set("X-Amz-Security-Token", other.SessionToken)
			return ""
		}, status: 403, want: mismatch},
		{name: "unknown key", sign: func(c *aws.Config) {
			creds := w.Credentials("controller")
			creds.AccessKeyID = "ASIAUNKNOWN"
			c.Credentials = fixed(creds)
		}, status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "token of another session", send: func(q url.Values, _ http.Header) string {
			q.Set("X-Amz-Security-Token", w.Credentials("node").SessionToken)
			return ""
		}, status: 403, want: "<Code>InvalidClientTokenId</Code>"},
		{name: "no signature", send: func(q url.Values, _ http.Header) string { q.Del("X-Amz-Algorithm"); return "" }, status: 403, want: "<Code>MissingAuthenticationToken</Code>"},
		{name: "no action", send: func(q url.Values, _ http.Header) string { q.Del("Action"); return "" }, status: 400, want: "<Code>MissingAction</Code>"},

		// STS ignores X-Amz-Expires and takes a request for 15 minutes.
		{name: "old, within 15 minutes", signer: shifted{by: -14 * time.Minute, query: map[string]string{"X-Amz-Expires": "60"}}, status: 200, want: "<Arn>"},
		{name: "too old", signer: shifted{by: -16 * time.Minute, query: map[string]string{"X-Amz-Expires": "3600"}}, status: 403, want: "<Code>SignatureDoesNotMatch</Code><Message>Signature expired: "},
		{name: "from the future", signer: shifted{by: 16 * time.Minute}, status: 403, want: "<Code>SignatureDoesNotMatch</Code><Message>Signature not yet current: "},
		{name: "made younger", signer: shifted{by: -16 * time.Minute}, send: func(q url.Values, _ http.Header) string {
			now := time.Now().UTC()
			q.Set("X-Amz-Date", now.Format("20060102T150405Z"))
			q.Set("X-Amz-Credential", w.Credentials("controller").AccessKeyID+now.Format("/20060102/")+"us-west-2/sts/aws4_request")
			return ""
		}, status: 403, want: mismatch},
		{name: "date of another day", send: func(q url.Values, _ http.Header) string {
			parts := strings.Split(q.Get("X-Amz-Credential"), "/")
			parts[1] = "20200101"
			q.Set("X-Amz-Credential", strings.Join(parts, "/"))
			return ""
		}, status: 403, want: "Date in Credential scope does not match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			signing := cfg.Copy()
			if tt.sign != nil {
				tt.sign(&signing)
			}
			address, header := presignIdentity(t, signing, tt.signer)
			u := must(url.Parse(address))(t)
			u.Scheme, u.Host = "http", strings.TrimPrefix(*cfg.BaseEndpoint, "http://")
			host := ""
			if tt.send != nil {
				q := u.Query()
				host = tt.send(q, header)
				u.RawQuery = q.Encode()
			}
			if status, body := present(t, http.DefaultClient, u.String(), host, header); status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("status %d: %s\nwant %d with %s", status, body, tt.status, tt.want)
			}
		})
	}
}

func fixed(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}

// TestPresignedIdentityEndsWithItsSession: the proof of an instance is worth
// nothing once the credentials that signed it have ended.
func TestPresignedIdentityEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{Timing: awssim.Timing{Credentials: 10 * time.Minute}}
		defer w.Close()
		i := add(t, w, awssim.InstanceSpec{Role: "node"})
		document, status := read(t, metadata(w, i.ID), "iam/security-credentials/node")
		if status != 200 {
			t.Fatalf("credentials: %d", status)
		}
		var creds struct{ AccessKeyId, SecretAccessKey, Token string }
		if err := json.Unmarshal([]byte(document), &creds); err != nil {
			t.Fatal(err)
		}
		cfg := w.Config("node")
		cfg.Credentials = fixed(aws.Credentials{AccessKeyID: creds.AccessKeyId, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.Token})
		address, header := presignIdentity(t, cfg, shifted{})
		client := &http.Client{Transport: w.Transport()}
		if status, body := present(t, client, address, "", header); status != 200 || !strings.Contains(body, "assumed-role/node/"+i.ID+"</Arn>") {
			t.Fatalf("fresh: %d %s", status, body)
		}
		bubble.Sleep(10 * time.Minute)
		if status, body := present(t, client, address, "", header); status != 403 || !strings.Contains(body, "<Code>ExpiredToken</Code>") {
			t.Errorf("after the session's end: %d %s", status, body)
		}
	})
}

// TestOtherServicesHonourExpires: a presigned request to any other service
// ends when it says.
func TestOtherServicesHonourExpires(t *testing.T) {
	w, _ := newWorld(t)
	cfg := overSocket(t, w)
	for age, want := range map[time.Duration]int{30 * time.Second: 200, 2 * time.Minute: 400} {
		req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, *cfg.BaseEndpoint+"/?Action=DescribeInstances&Version=2016-11-15&X-Amz-Expires=60", nil))(t)
		const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		address, _, err := v4.NewSigner().PresignHTTP(t.Context(), w.Credentials("controller"), req, nothing, "ec2", "us-west-2", time.Now().Add(-age))
		if err != nil {
			t.Fatal(err)
		}
		if status, body := present(t, http.DefaultClient, address, "", nil); status != want || want == 400 && !strings.Contains(body, "<Code>RequestExpired</Code>") {
			t.Errorf("%s old: %d %s", age, status, body)
		}
	}
	must(ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), nil))(t)
}
