package awssim_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// raw sends one metadata request by hand; headers are name, value pairs.
func raw(t *testing.T, w *awssim.World, id, method, path string, headers ...string) (int, string) {
	t.Helper()
	req := must(http.NewRequestWithContext(t.Context(), method, "http://169.254.169.254"+path, nil))(t)
	for n := 0; n < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	resp, err := awssim.Transport(w.IMDS(id)).RoundTrip(req)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(must(io.ReadAll(resp.Body))(t))
}

const (
	ttlHeader   = "X-aws-ec2-metadata-token-ttl-seconds"
	tokenHeader = "X-aws-ec2-metadata-token"
)

// metadata is the real SDK's client to one instance's metadata.
func metadata(w *awssim.World, id string) *imds.Client {
	return imds.New(imds.Options{DisableDefaultTimeout: true, HTTPClient: &http.Client{Transport: awssim.Transport(w.IMDS(id))}, EnableFallback: aws.FalseTernary, Retryer: aws.NopRetryer{}})
}

func TestIMDSTokenRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorld(t)
		i, other := add(t, w, awssim.InstanceSpec{}), add(t, w, awssim.InstanceSpec{})
		tests := []struct {
			name, method, path string
			headers            []string
			want               int
		}{
			{"no ttl", "PUT", "/latest/api/token", nil, 400},
			{"zero ttl", "PUT", "/latest/api/token", []string{ttlHeader, "0"}, 400},
			{"too long", "PUT", "/latest/api/token", []string{ttlHeader, "21601"}, 400},
			{"no number", "PUT", "/latest/api/token", []string{ttlHeader, "x"}, 400},
			{"through a proxy", "PUT", "/latest/api/token", []string{ttlHeader, "60", "X-Forwarded-For", "10.0.0.1"}, 403},
			{"token by GET", "GET", "/latest/api/token", []string{ttlHeader, "60"}, 405},
			{"no token", "GET", "/latest/meta-data/instance-id", nil, 401},
			{"bad token", "GET", "/latest/meta-data/instance-id", []string{tokenHeader, "x"}, 401},
			{"no token for user data", "GET", "/latest/user-data", nil, 401},
			{"POST", "POST", "/latest/meta-data/instance-id", nil, 405},
		}
		for _, tt := range tests {
			if status, body := raw(t, w, i.ID, tt.method, tt.path, tt.headers...); status != tt.want {
				t.Errorf("%s: %d %s, want %d", tt.name, status, body, tt.want)
			}
		}
		status, token := raw(t, w, i.ID, "PUT", "/latest/api/token", ttlHeader, "60")
		if status != 200 {
			t.Fatalf("token: %d", status)
		}
		if _, got := raw(t, w, i.ID, "GET", "/latest/meta-data/instance-id", tokenHeader, token); got != i.ID {
			t.Errorf("instance-id %s", got)
		}
		if status, _ := raw(t, w, other.ID, "GET", "/latest/meta-data/instance-id", tokenHeader, token); status != 401 {
			t.Errorf("another instance took the token: %d", status)
		}
		if status, _ := raw(t, w, i.ID, "GET", "/latest/meta-data/none", tokenHeader, token); status != 404 {
			t.Errorf("unknown path: %d", status)
		}
		bubble.Sleep(time.Minute)
		if status, _ := raw(t, w, i.ID, "GET", "/latest/meta-data/instance-id", tokenHeader, token); status != 401 {
			t.Errorf("expired token: %d", status)
		}
		w.Terminate(i.ID)
		if status, _ := raw(t, w, i.ID, "PUT", "/latest/api/token", ttlHeader, "60"); status != 0 {
			t.Errorf("a terminated instance has metadata: %d", status)
		}
		w.Close()
	})
}

func read(t *testing.T, c *imds.Client, path string) (string, int) {
	t.Helper()
	out, err := c.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
	if err != nil {
		var status interface{ HTTPStatusCode() int }
		if !errors.As(err, &status) {
			t.Fatal(err)
		}
		return "", status.HTTPStatusCode()
	}
	return string(must(io.ReadAll(out.Content))(t)), 200
}

func TestIMDSContent(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{Role: "node", UserData: []byte("kind: NodeConfig"), Tags: map[string]string{"joinery:cluster": "demo"}, InstanceMetadataTags: "enabled"})
	c := metadata(w, i.ID)
	mac := "network/interfaces/macs/" + i.MAC + "/"
	for path, want := range map[string]string{
		"instance-id": i.ID, "instance-type": "t3.medium", "ami-id": awssim.DefaultImageID, "local-ipv4": "10.99.0.11", "mac": i.MAC,
		"local-hostname": i.PrivateDNSName, "hostname": i.PrivateDNSName, "placement/availability-zone": "us-west-2a",
		"placement/availability-zone-id": "usw2-az1", "placement/region": "us-west-2", "tags/instance/joinery:cluster": "demo",
		"tags/instance": "joinery:cluster", "iam/security-credentials/": "node", mac + "vpc-id": w.VPCID, mac + "subnet-id": i.SubnetID,
		mac + "local-ipv4s": "10.99.0.11", "network/interfaces/macs/": i.MAC + "/", "events/maintenance/scheduled": "[]",
		"placement": "availability-zone\navailability-zone-id\nregion",
	} {
		if got, status := read(t, c, path); got != want {
			t.Errorf("%s: %d %q, want %q", path, status, got, want)
		}
	}
	for _, path := range []string{"spot/instance-action", "spot/termination-time", "events/recommendations/rebalance", "autoscaling/target-lifecycle-state", "public-ipv4"} {
		if got, status := read(t, c, path); status != 404 {
			t.Errorf("%s: %d %q, want 404", path, status, got)
		}
	}
	ud := must(c.GetUserData(t.Context(), nil))(t)
	if got := must(io.ReadAll(ud.Content))(t); string(got) != "kind: NodeConfig" {
		t.Errorf("user data %q", got)
	}
	doc := must(c.GetInstanceIdentityDocument(t.Context(), nil))(t)
	if doc.InstanceID != i.ID || doc.Region != "us-west-2" || doc.AccountID != "123456789012" || doc.PrivateIP != i.PrivateIP || doc.Version != "2017-09-30" || doc.PendingTime.Unix() != i.LaunchTime.Unix() {
		t.Errorf("identity document %+v", doc)
	}
	info := must(c.GetIAMInfo(t.Context(), nil))(t)
	if info.InstanceProfileArn != "arn:aws:iam::123456789012:instance-profile/node" {
		t.Errorf("iam info %+v", info)
	}
	plain := add(t, w, awssim.InstanceSpec{Tags: map[string]string{"a": "b"}})
	for _, path := range []string{"tags/instance", "iam/info", "iam/security-credentials/"} {
		if _, status := read(t, metadata(w, plain.ID), path); status != 404 {
			t.Errorf("%s without tags option and role: %d, want 404", path, status)
		}
	}
}

func TestIMDSScriptedEvents(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{})
	c := metadata(w, i.ID)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.SetSpotAction(i.ID, "terminate", at)
	w.SetRebalance(i.ID, at)
	w.SetMaintenance(i.ID, awssim.MaintenanceEvent{EventID: "instance-event-1", Code: "system-reboot", NotBefore: at, NotAfter: at.Add(time.Hour)})
	for path, want := range map[string]string{
		"spot/instance-action": `"time": "2026-03-01T12:00:00Z"`, "spot/termination-time": "2026-03-01T12:00:00Z",
		"events/recommendations/rebalance": `"noticeTime": "2026-03-01T12:00:00Z"`, "events/maintenance/scheduled": `"NotBefore": "1 Mar 2026 12:00:00 GMT"`,
	} {
		if got, status := read(t, c, path); !strings.Contains(got, want) {
			t.Errorf("%s: %d %q, want %q", path, status, got, want)
		}
	}
	w.SetSpotAction(i.ID, "", time.Time{})
	if _, status := read(t, c, "spot/instance-action"); status != 404 {
		t.Errorf("notice taken back: %d", status)
	}
}

// TestRoleCredentials uses a node's credentials, from its metadata, to ask STS
// who it is: the session is named after the instance.
func TestRoleCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := newWorld(t)
		i := add(t, w, awssim.InstanceSpec{Role: "node"})
		cfg := w.Config("")
		provider := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadata(w, i.ID) })
		cfg.Credentials = provider
		id := must(sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil))(t)
		if want := "arn:aws:sts::123456789012:assumed-role/node/" + i.ID; aws.ToString(id.Arn) != want {
			t.Errorf("Arn %s, want %s", aws.ToString(id.Arn), want)
		}
		old := must(provider.Retrieve(t.Context()))(t)
		bubble.Sleep(5*time.Hour + 56*time.Minute)
		fresh := must(provider.Retrieve(t.Context()))(t)
		if fresh.AccessKeyID == old.AccessKeyID {
			t.Error("credentials were not rotated before their end")
		}
		bubble.Sleep(5 * time.Minute)
		cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { old.CanExpire = false; return old, nil })
		cfg.RetryMaxAttempts = 1
		_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
		wantCode(t, err, "ExpiredToken")
		w.Close()
	})
}

func TestIdentitySignature(t *testing.T) {
	w, _ := newWorld(t)
	i := add(t, w, awssim.InstanceSpec{})
	c := metadata(w, i.ID)
	dynamic := func(name string) string {
		out := must(c.GetDynamicData(t.Context(), &imds.GetDynamicDataInput{Path: "instance-identity/" + name}))(t)
		return string(must(io.ReadAll(out.Content))(t))
	}
	block, _ := pem.Decode(must(w.IdentityCertificate())(t))
	cert := must(x509.ParseCertificate(block.Bytes))(t)
	sig := must(base64.StdEncoding.DecodeString(strings.ReplaceAll(dynamic("signature"), "\n", "")))(t)
	if err := cert.CheckSignature(x509.SHA256WithRSA, []byte(dynamic("document")), sig); err != nil {
		t.Errorf("signature of %x: %v", sha256.Sum256([]byte(dynamic("document"))), err)
	}
	message := must(base64.StdEncoding.DecodeString(strings.ReplaceAll(dynamic("rsa2048"), "\n", "")))(t)
	if !strings.Contains(string(message), i.ID) || !strings.Contains(string(message), string(sig)) {
		t.Error("rsa2048 does not hold the document and its signature")
	}
}
