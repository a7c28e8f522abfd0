package cluster

import (
	"net/netip"
	"testing"

	"github.com/joinery/joinery/internal/golden"
)

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
		golden.Check(t, "testdata/init"+suffix, string(text))
		if text, err = d.renderJoin(admission{Token: "abcdef.0123456789abcdef", CertificateKey: "0011223344"}); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/join"+suffix, string(text))
	}
}

func TestServices(t *testing.T) {
	if got := Services(netip.MustParseAddr("10.99.0.11"))["10.96.0.1:443"]; got != "10.99.0.11:6443" {
		t.Errorf("got %q", got)
	}
}
