package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsimple"

	"github.com/joinery/joinery/packer/packer-plugin-joinery/node"
)

// compile builds the plugin as a release does.
func compile(t *testing.T, version, prerelease string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, ".", "go", "build", "-ldflags", "-X main.Version="+version+" -X main.VersionPrerelease="+prerelease, "-o", filepath.Join(dir, "packer-plugin-joinery"), ".")
	return dir
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", name, strings.Join(args, " "), err, out, complaint.String())
	}
	return string(out)
}

// description is what a plugin tells packer about itself.
type description struct {
	Version      string   `json:"version"`
	APIVersion   string   `json:"api_version"`
	Builders     []string `json:"builders"`
	Provisioners []string `json:"provisioners"`
}

func describe(t *testing.T, dir string) description {
	t.Helper()
	var d description
	if err := json.Unmarshal([]byte(run(t, dir, "./packer-plugin-joinery", "describe")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestVersionIsThatOfTheRelease(t *testing.T) {
	for _, c := range []struct{ version, prerelease, want string }{{"0.3.0", "", "0.3.0"}, {"0.3.1", "dev", "0.3.1-dev"}} {
		if d := describe(t, compile(t, c.version, c.prerelease)); d.Version != c.want {
			t.Errorf("%s and %q: it is version %s, want %s", c.version, c.prerelease, d.Version, c.want)
		}
	}
}

// What packer asks of every plugin, by its own tool.
func TestPluginCheck(t *testing.T) {
	sdc := strings.TrimSpace(run(t, ".", "go", "tool", "-n", "packer-sdc"))
	dir := compile(t, "0.3.0", "")
	run(t, dir, sdc, "plugin-check", "packer-plugin-joinery")
	d := describe(t, dir)
	if d.APIVersion != "x5.0" || len(d.Builders) > 0 || !slices.Equal(d.Provisioners, []string{"node"}) {
		t.Errorf("%+v", d)
	}
}

// The registry's list of components is that of the plugin.
func TestMetadataNamesTheComponents(t *testing.T) {
	var m struct {
		Integration struct {
			Name        string `hcl:"name"`
			Description string `hcl:"description"`
			Identifier  string `hcl:"identifier"`
			Components  []struct {
				Type string `hcl:"type"`
				Name string `hcl:"name"`
				Slug string `hcl:"slug"`
			} `hcl:"component,block"`
		} `hcl:"integration,block"`
	}
	if err := hclsimple.DecodeFile(".web-docs/metadata.hcl", nil, &m); err != nil {
		t.Fatal(err)
	}
	var slugs []string
	for _, c := range m.Integration.Components {
		slugs = append(slugs, c.Slug)
		if _, err := os.Stat(filepath.Join(".web-docs/components", c.Type, c.Slug, "README.md")); err != nil {
			t.Error(err)
		}
	}
	if want := describe(t, compile(t, "0.3.0", "")).Provisioners; !slices.Equal(slugs, want) {
		t.Errorf("metadata.hcl has %q, the plugin %q", slugs, want)
	}
}

// The template for EC2 passes every option on, so that no one has to change it for one.
func TestTemplateHasEveryOption(t *testing.T) {
	text, err := os.ReadFile("../ebs/node.pkr.hcl")
	if err != nil {
		t.Fatal(err)
	}
	_, provisioner, found := strings.Cut(string(text), `provisioner "joinery-node"`)
	if !found {
		t.Fatal("the template has no such provisioner")
	}
	for name := range (&node.Config{}).FlatMapstructure().HCL2Spec() {
		attribute := regexp.MustCompile(`(?m)^ +` + name + ` += `)
		block := `dynamic "` + name + `"`
		if !strings.HasPrefix(name, "packer_") && !attribute.MatchString(provisioner) && !strings.Contains(provisioner, block) {
			t.Errorf("the template lacks %s", name)
		}
	}
}
