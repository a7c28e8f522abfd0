package imds_test

import (
	"errors"
	"testing"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/internal/identity"
)

const document = `{"accountId":"123456789012","architecture":"x86_64","availabilityZone":"us-west-2a",
"billingProducts":null,"imageId":"ami-0abc","instanceId":"i-0123456789abcdef0","instanceType":"m7i.large",
"pendingTime":"2026-09-01T00:00:00Z","privateIp":"10.99.0.12","region":"us-west-2","version":"2017-09-30"}`

func TestParseIdentity(t *testing.T) {
	got, err := imds.ParseIdentity([]byte(document))
	want := identity.Facts{
		InstanceID: "i-0123456789abcdef0", Region: "us-west-2", Zone: "us-west-2a", PrivateIP: "10.99.0.12",
		ImageID: "ami-0abc", AccountID: "123456789012", InstanceType: "m7i.large",
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v: want %+v", got, err, want)
	}
	for _, bad := range []string{"", "{}", "<html>", `{"instanceId":7}`, `{"instanceId":"i-0123456789abcdef0","region":"us-west-2"}`} {
		var wrong *imds.InvalidError
		if _, err := imds.ParseIdentity([]byte(bad)); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want an InvalidError", bad, err)
		}
	}
}

func TestParseLifecycleState(t *testing.T) {
	for text, warmed := range map[string]bool{"InService": false, "Warmed:Stopped\n": true, "Terminated": false, "Warmed:Running": true} {
		if s, err := imds.ParseLifecycleState([]byte(text)); err != nil || s.Warmed() != warmed {
			t.Errorf("%q: got %q, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "inservice", "Warmed:", "Pending:Wait"} {
		var wrong *imds.InvalidError
		if _, err := imds.ParseLifecycleState([]byte(bad)); !errors.As(err, &wrong) {
			t.Errorf("%q: got %v, want an InvalidError", bad, err)
		}
	}
}

func TestParseVPC(t *testing.T) {
	if mac, err := imds.ParseMAC([]byte("02:00:0A:63:00:01")); err != nil || mac != "02:00:0a:63:00:01" {
		t.Errorf("got %q, %v", mac, err)
	}
	if vpc, err := imds.ParseVPCID([]byte("vpc-0123456789abcdef0")); err != nil || vpc != "vpc-0123456789abcdef0" {
		t.Errorf("got %q, %v", vpc, err)
	}
	var wrong *imds.InvalidError
	if _, err := imds.ParseMAC([]byte("../x")); !errors.As(err, &wrong) {
		t.Errorf("got %v, want an InvalidError", err)
	}
	if _, err := imds.ParseVPCID([]byte("subnet-1")); !errors.As(err, &wrong) {
		t.Errorf("got %v, want an InvalidError", err)
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{document, "InService", "Warmed:Stopped", "02:00:0a:63:00:01", "vpc-01234567", "{"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if facts, err := imds.ParseIdentity(data); err == nil {
			if _, err := identity.ProviderID(facts); err != nil {
				t.Errorf("accepted %+v: %v", facts, err)
			}
		}
		if s, err := imds.ParseLifecycleState(data); err == nil && s == "" {
			t.Error("accepted an empty lifecycle state")
		}
		if mac, err := imds.ParseMAC(data); err == nil && len(mac) != 17 {
			t.Errorf("accepted MAC %q", mac)
		}
		if vpc, err := imds.ParseVPCID(data); err == nil && len(vpc) < 12 {
			t.Errorf("accepted VPC %q", vpc)
		}
	})
}
