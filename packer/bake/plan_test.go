package bake_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/internal/golden"
	"github.com/joinery/joinery/packer/bake"
)

var inputs = bake.Inputs{Keyrings: map[string][]byte{"kubernetes": []byte("key")}}

// The plans of two releases are read by people: what differs is in them.
func TestPlanIsGolden(t *testing.T) {
	offline := whole()
	offline.Repositories, offline.Images, offline.Offline = nil, nil, "/packages"
	offline.Sums = &bake.Sums{URL: "SHA256SUMS", SignatureURL: "SHA256SUMS.asc", Key: bake.Key{File: "key.asc", Fingerprint: strings.Repeat("A", 40)}}
	for name, c := range map[string]struct {
		o      bake.Options
		in     bake.Inputs
		system bake.System
	}{
		"debian-12":    {whole(), inputs, bake.System{ID: "debian", Version: "12", Arch: "amd64"}},
		"ubuntu-24.04": {whole(), inputs, bake.System{ID: "ubuntu", Version: "24.04", Arch: "arm64"}},
		"offline":      {offline, bake.Inputs{Packages: []string{"kubelet.deb", "kubernetes-cni.deb"}}, bake.System{ID: "debian", Version: "13", Arch: "amd64"}},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := bake.New(c.o, c.in, c.system)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, filepath.Join("testdata", name+".golden"), plan.String())
		})
	}
}

// The key is on the machine before the source that names it, and the source names
// no other.
func TestSourcesAreBoundToTheirKey(t *testing.T) {
	plan, err := bake.New(whole(), inputs, bake.System{ID: "debian", Version: "12", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range plan.Steps {
		for _, a := range s.Actions {
			w, ok := a.(bake.Write)
			if !ok {
				if _, refresh := a.(bake.Refresh); refresh {
					order = append(order, "refresh")
				}
				continue
			}
			switch w.Path {
			case "/etc/apt/keyrings/kubernetes.gpg":
				order = append(order, string(w.Data))
			case "/etc/apt/sources.list.d/kubernetes.sources":
				order = append(order, string(w.Data))
			}
		}
	}
	want := []string{"key", "Types: deb\nURIs: https://packages.example/deb\nSuites: /\nSigned-By: /etc/apt/keyrings/kubernetes.gpg\n", "refresh"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
	if _, err := bake.New(whole(), bake.Inputs{}, plan.System); err == nil {
		t.Error("a plan without the repository's key")
	}
}

func TestParseSystem(t *testing.T) {
	for _, c := range []struct {
		release, arch string
		want          string // of the system, or part of the error
		bad           bool
	}{
		{"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n", "amd64\n", "debian 12 amd64", false},
		{"ID=debian\nVERSION_ID=\"13\"\n", "arm64\n", "debian 13 arm64", false},
		{"ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n", "amd64", "ubuntu 22.04 amd64", false},
		{"ID=ubuntu\nVERSION_ID='24.04'\n", "arm64", "ubuntu 24.04 arm64", false},
		{"ID=ubuntu\nVERSION_ID=\"20.04\"\n", "amd64", `its system is "ubuntu" "20.04": want one of debian 12, debian 13, ubuntu 22.04, ubuntu 24.04`, true},
		{"ID=fedora\nVERSION_ID=43\n", "amd64", `its system is "fedora" "43"`, true},
		{"ID=debian\n", "amd64", `its system is "debian" ""`, true}, // testing and unstable have no version
		{"ID=debian\nVERSION_ID=12\n", "i386", `architecture "i386"`, true},
	} {
		s, err := bake.ParseSystem(c.release, c.arch)
		if c.bad && (err == nil || !strings.Contains(err.Error(), c.want)) || !c.bad && (err != nil || s.String() != c.want) {
			t.Errorf("%q: %v, %v; want %s", c.release, s, err, c.want)
		}
	}
}
