package node

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/packer/bake"
)

// block is a block of a template, as packer hands it over.
func block() map[string]any {
	return map[string]any{
		"kubernetes_version": "1.37.2", "containerd_version": "2.4.2", "containerd_package": "containerd", "pause_image": "pause:3",
		"images": []string{"i1", "i2"}, "offline": "dir",
		"repository": []map[string]any{{
			"name": "r-name", "url": "r-url", "suite": "r-suite", "components": []string{"r-main", "r-more"}, "key_file": "r-file", "key_fingerprint": "r-print",
		}},
		"archive": []map[string]any{{"component": "a-component", "url": "a-url", "checksum": "a-sum"}, {"component": "b-component", "url": "b-url"}},
		"sums":    map[string]any{"url": "s-url", "signature_url": "s-signature", "key_file": "s-file", "key_fingerprint": "s-print"},
	}
}

func TestEveryFieldReachesTheBake(t *testing.T) {
	var c Config
	if err := c.decode(block()); err != nil {
		t.Fatal(err)
	}
	want := bake.Options{
		KubernetesVersion: "1.37.2", ContainerdVersion: "2.4.2", ContainerdPackage: "containerd", PauseImage: "pause:3",
		Images: []string{"i1", "i2"}, Offline: "dir",
		Repositories: []bake.Repository{{Name: "r-name", URL: "r-url", Suite: "r-suite", Components: []string{"r-main", "r-more"}, Key: bake.Key{File: "r-file", Fingerprint: "r-print"}}},
		Archives:     []bake.Archive{{Component: "a-component", URL: "a-url", Checksum: "a-sum"}, {Component: "b-component", URL: "b-url"}},
		Sums:         &bake.Sums{URL: "s-url", SignatureURL: "s-signature", Key: bake.Key{File: "s-file", Fingerprint: "s-print"}},
	}
	if diff := cmp.Diff(want, c.options()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The block above names every field of the block, so that none can be forgotten there.
func TestEveryFieldIsTried(t *testing.T) {
	hold := func(name string, spec int, values map[string]any) {
		t.Helper()
		if spec != len(values) {
			t.Errorf("%s: %d fields, %d of them tried", name, spec, len(values))
		}
	}
	const ofPacker = 8 // those of common.PackerConfig
	b := block()
	hold("config", len((*FlatConfig)(nil).HCL2Spec())-ofPacker, b)
	hold("repository", len((*FlatRepository)(nil).HCL2Spec()), b["repository"].([]map[string]any)[0])
	hold("archive", len((*FlatArchive)(nil).HCL2Spec()), b["archive"].([]map[string]any)[0])
	hold("sums", len((*FlatSums)(nil).HCL2Spec()), b["sums"].(map[string]any))
}

// valid is a block without problems.
func valid() map[string]any {
	return map[string]any{
		"kubernetes_version": "1.37.2", "containerd_version": "2.4.2",
		"repository": []map[string]any{{
			"name": "kubernetes", "url": "https://packages.example/deb", "suite": "/", "key_file": "key.asc", "key_fingerprint": strings.Repeat("A", 40),
		}},
		"archive": []map[string]any{{"component": "joinery-agent", "url": "joinery-agent", "checksum": "sha256:" + strings.Repeat("0", 64)}},
	}
}

func TestPrepareAcceptsAGoodBlock(t *testing.T) {
	if err := new(Provisioner).Prepare(valid()); err != nil {
		t.Error(err)
	}
}

func TestPrepareNamesAllProblemsAtOnce(t *testing.T) {
	bad := valid()
	bad["kubernetes_version"] = "1.30.9"
	bad["archive"] = []map[string]any{{"component": "joinery-agent", "url": "joinery-agent"}}
	bad["pause_image"] = "pause"
	err := new(Provisioner).Prepare(bad)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`kubernetes_version: is "1.30.9": want a release from 1.31 to 1.37`,
		"archive[0].checksum: is empty: want sha256:<hex>",
		`pause_image: is "pause": want a name with a tag`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestPrepareRefusesUnknownNames(t *testing.T) {
	bad := valid()
	bad["kubernetes_versoin"] = "1.37.2"
	if err := new(Provisioner).Prepare(bad); err == nil || !strings.Contains(err.Error(), "kubernetes_versoin") {
		t.Errorf("%v", err)
	}
}
