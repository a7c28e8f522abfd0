package cluster

import (
	"flag"
	"net/netip"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file, or rewrites that.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s written", name)
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs:\n%s", name, got)
	}
}

func TestKubeadmConfigurations(t *testing.T) {
	full := description{Cluster: "demo", Endpoint: "10.99.0.1:6443", NodeName: "ip-10-99-0-11.us-west-2.compute.internal", IP: "10.99.0.11",
		ProviderID: "aws:///us-west-2a/i-1", CgroupV1: true}
	bare := full
	bare.Endpoint, bare.ProviderID, bare.CgroupV1 = "10.99.0.11:6443", "", false
	for suffix, d := range map[string]description{".golden": full, "-bare.golden": bare} {
		text, err := d.render()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/init"+suffix, text)
		if text, err = d.renderJoin(admission{Token: "abcdef.0123456789abcdef", CertificateKey: "0011223344"}); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/join"+suffix, text)
	}
}

func TestServices(t *testing.T) {
	if got := Services(netip.MustParseAddr("10.99.0.11"))["10.96.0.1:443"]; got != "10.99.0.11:6443" {
		t.Errorf("got %q", got)
	}
}
