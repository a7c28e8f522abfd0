package join_test

import (
	"path/filepath"
	"testing"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/golden"
)

func TestJoinConfiguration(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.NodeConfigSpec){"plain.yaml": nil, "loaded.yaml": loaded} {
		t.Run(name, func(t *testing.T) {
			got, err := join.JoinConfiguration(join.DefaultPaths(), node(t, change))
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", name), string(got))
		})
	}
}

func TestKubeletPatch(t *testing.T) {
	got, err := join.KubeletPatch(node(t, loaded).Spec.Kubelet)
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/patch.yaml", string(got))
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
	golden.Check(t, "testdata/discovery.yaml", string(got))
}
