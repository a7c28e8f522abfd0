package cluster

import (
	"flag"
	"net/netip"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestInitConfig(t *testing.T) {
	full := initConfig{Cluster: "demo", NodeName: "ip-10-99-0-11.us-west-2.compute.internal", IP: "10.99.0.11", ProviderID: "aws:///us-west-2a/i-1", CgroupV1: true}
	bare := full
	bare.ProviderID, bare.CgroupV1 = "", false
	for name, c := range map[string]initConfig{"testdata/init.golden": full, "testdata/init-bare.golden": bare} {
		got, err := c.render()
		if err != nil {
			t.Fatal(err)
		}
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
}

func TestServices(t *testing.T) {
	if got := Services(netip.MustParseAddr("10.99.0.11"))["10.96.0.1:443"]; got != "10.99.0.11:6443" {
		t.Errorf("got %q", got)
	}
}
