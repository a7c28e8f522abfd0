package join_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("wrote %s: run again without -update", path)
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: (-want +got)\n%s", path, diff)
	}
}

func TestJoinConfiguration(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.NodeConfigSpec){"plain.yaml": nil, "loaded.yaml": loaded} {
		t.Run(name, func(t *testing.T) {
			got, err := join.JoinConfiguration(join.DefaultPaths(), node(t, change))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, got)
		})
	}
}

func TestKubeletPatch(t *testing.T) {
	got, err := join.KubeletPatch(node(t, loaded).Spec.Kubelet)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "patch.yaml", got)
	for want, settings := range map[string]v1alpha1.KubeletSettings{
		"serverTLSBootstrap: true\n": nil, "serverTLSBootstrap: false\n": {"serverTLSBootstrap": false},
	} {
		if got, err := join.KubeletPatch(settings); string(got) != want || err != nil {
			t.Errorf("%v: got %q, %v", settings, got, err)
		}
	}
}

func TestDiscoveryConfig(t *testing.T) {
	got, err := join.DiscoveryConfig(
		&v1alpha1.JoinBundle{Endpoint: "10.99.0.11:6443", CACert: "the CA", Token: token},
		join.Certificate{Certificate: []byte("the certificate"), Key: "the key"})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "discovery.yaml", got)
}
