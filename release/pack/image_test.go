package pack_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
)

// A node has the agent by its image or by the package. Both have the same units.
func TestImageAndPackageHaveTheSameUnits(t *testing.T) {
	image := unitsOfImage(t)
	for _, f := range pack.Formats() {
		packaged := map[string]string{}
		for path, e := range packed(t, f, program.Agent, "amd64").files {
			if name, ok := strings.CutPrefix(path, "/usr/lib/systemd/system/"); ok && !strings.HasSuffix(path, "/") {
				packaged[name] = e.data
			}
		}
		if !maps.Equal(image, packaged) {
			t.Errorf("the image has %q, the package (%s) %q", image, f, packaged)
		}
	}
}

// unitsOfImage are the units that a bake's step "agent" writes.
func unitsOfImage(t *testing.T) map[string]string {
	t.Helper()
	sum := "sha256:" + strings.Repeat("0", 64)
	o := bake.Options{KubernetesVersion: "1.37.2", ContainerdVersion: "2.4.2"}
	for _, c := range bake.Components() {
		o.Archives = append(o.Archives, bake.Archive{Component: c, URL: "https://archives.example/" + c + ".tar.gz", Checksum: sum})
	}
	plan, err := bake.New(o, bake.Inputs{}, bake.System{ID: "debian", Version: "12", Arch: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	units := map[string]string{}
	for _, step := range plan.Steps {
		for _, a := range step.Actions {
			w, file := a.(bake.Write)
			name, unit := strings.CutPrefix(w.Path, "/etc/systemd/system/")
			if step.Name == "agent" && file && unit {
				units[name] = string(w.Data)
			}
		}
	}
	return units
}
