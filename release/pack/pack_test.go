package pack_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/systemd"
)

const root = "../.."

// packed makes one package of a file that stands for the program, and reads it again.
func packed(t *testing.T, f pack.Format, name, arch string) contents {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(name+" for "+arch), 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := pack.Write(root, t.TempDir(), f, program.Program{
		Name: name, Platform: program.Platform{OS: "linux", Arch: arch}, File: file,
		Version: "v0.3.0-rc.1", Time: time.Unix(1_800_000_000, 0).UTC(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return read(t, f, path)
}

// each runs a test for every package of every format and architecture.
func each(t *testing.T, check func(t *testing.T, f pack.Format, name string, c contents)) {
	for _, f := range pack.Formats() {
		for _, name := range []string{program.Agent, program.Controller, program.Operator} {
			for _, arch := range []string{"amd64", "arm64"} {
				t.Run(strings.Join([]string{string(f), name, arch}, "/"), func(t *testing.T) {
					c := packed(t, f, name, arch)
					if got := c.files["/usr/bin/"+name].data; got != name+" for "+arch {
						t.Errorf("the program is %q", got)
					}
					want := arch
					if f == pack.RPM {
						want = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
					}
					if c.name != name || c.version != "0.3.0~rc.1" || c.arch != want || c.summary == "" {
						t.Errorf("name %s, version %s, architecture %s, summary %q", c.name, c.version, c.arch, c.summary)
					}
					check(t, f, name, c)
				})
			}
		}
	}
}

// modes are those that are not 0644 for files and 0755 for directories.
var modes = map[string]os.FileMode{
	"/usr/bin/joinery-agent": 0o755, "/usr/bin/joinery-controller": 0o755, "/usr/bin/joinery": 0o755,
	"/usr/bin/kubectl-joinery": 0o777, "/etc/joinery/private/": 0o700,
}

func TestModesAndOwners(t *testing.T) {
	each(t, func(t *testing.T, f pack.Format, _ string, c contents) {
		for path, e := range c.files {
			want, ok := modes[path]
			switch {
			case ok:
			case strings.HasSuffix(path, "/"):
				want = 0o755
			default:
				want = 0o644
			}
			if e.mode != want && e.link == "" {
				t.Errorf("%s has mode %o, want %o", path, e.mode, want)
			}
			if e.owner != "root:root" {
				t.Errorf("%s belongs to %s", path, e.owner)
			}
			if !strings.HasPrefix(path, "/usr/") && !strings.HasPrefix(path, "/etc/joinery/") && path != "/etc/" && path != "/" {
				t.Errorf("%s is outside of /usr and /etc/joinery", path)
			}
		}
	})
}

func TestUnitsAreThoseOfTheTree(t *testing.T) {
	where := map[string]string{
		systemd.Agent: program.Agent, systemd.KubeletDropIn: program.Agent,
		systemd.Controller: program.Controller, systemd.Credentials: program.Controller, systemd.CredentialsTimer: program.Controller,
	}
	each(t, func(t *testing.T, _ pack.Format, name string, c contents) {
		for _, unit := range systemd.Names() {
			text, err := systemd.Unit(unit)
			if err != nil {
				t.Fatal(err)
			}
			e, ok := c.files["/usr/lib/systemd/system/"+unit]
			if ok != (where[unit] == name) || ok && e.data != string(text) {
				t.Errorf("%s: packed is %t, same as in systemd/ %t", unit, ok, e.data == string(text))
			}
		}
		if wants := name != program.Operator; slices.Contains(c.depends, "systemd") != wants {
			t.Errorf("depends on %v", c.depends)
		}
	})
}

func TestConfigurationIsTheOperators(t *testing.T) {
	want := map[string][]string{
		program.Agent:      {"/etc/joinery/agent.env"},
		program.Controller: {"/etc/joinery/controller.env", "/etc/joinery/controller.yaml"},
	}
	each(t, func(t *testing.T, _ pack.Format, name string, c contents) {
		var got []string
		for path, e := range c.files {
			if e.config {
				got = append(got, path)
			}
			if !e.config && strings.HasPrefix(path, "/etc/") && !strings.HasSuffix(path, "/") {
				t.Errorf("an upgrade would overwrite %s", path)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want[name]) {
			t.Errorf("conffiles %v, want %v", got, want[name])
		}
	})
}

// What the packages hold commented out is right once the comment is taken away.
func TestSampleSettingsAreValid(t *testing.T) {
	files := packed(t, pack.Deb, program.Controller, "amd64").files
	sample := regexp.MustCompile(`(?m)^# \S.*\n|^#`).ReplaceAllString(files["/etc/joinery/controller.yaml"].data, "")
	c, err := v1alpha1.DecodeControllerConfig([]byte(sample))
	if err != nil || c.Spec.Cluster != "prod" {
		t.Errorf("%v in\n%s", err, sample)
	}
	for _, line := range strings.Split(strings.TrimSpace(files["/etc/joinery/controller.env"].data), "\n") {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("set by default: %s", line)
		}
	}
}

func TestManualAndCompletion(t *testing.T) {
	each(t, func(t *testing.T, f pack.Format, name string, c contents) {
		section := "8"
		if name == program.Operator {
			section = "1"
		}
		page := gunzipped(t, c.files["/usr/share/man/man"+section+"/"+name+"."+section+".gz"].data)
		if !strings.Contains(page, `.TH "`+strings.ToUpper(name)+`" "`+section+`"`) {
			t.Errorf("the manual page begins %.100q", page)
		}
		zsh := "/usr/share/zsh/site-functions/_" + name
		if f == pack.Deb {
			zsh = "/usr/share/zsh/vendor-completions/_" + name
		}
		for _, path := range []string{"/usr/share/bash-completion/completions/" + name, zsh, "/usr/share/fish/vendor_completions.d/" + name + ".fish"} {
			if !strings.Contains(c.files[path].data, name) {
				t.Errorf("%s completes nothing", path)
			}
		}
	})
}

func TestLicenceAndManifests(t *testing.T) {
	license, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, f pack.Format, name string, c contents) {
		path := "/usr/share/licenses/" + name + "/LICENSE"
		if f == pack.Deb {
			path = "/usr/share/doc/" + name + "/copyright"
		}
		if c.files[path].data != string(license) {
			t.Errorf("%s is not the licence", path)
		}
		_, manifests := c.files["/usr/share/joinery/deploy/rbac/controller.yaml"]
		if manifests != (name == program.Operator) {
			t.Errorf("holds the manifests: %t", manifests)
		}
		for path := range c.files {
			if strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".mod") {
				t.Errorf("holds %s", path)
			}
		}
		if link := c.files["/usr/bin/kubectl-joinery"].link; name == program.Operator && link != "joinery" {
			t.Errorf("kubectl-joinery is a link to %q", link)
		}
	})
}

func TestVersion(t *testing.T) {
	for module, want := range map[string]string{
		"v0.3.0":                             "0.3.0",
		"v0.3.0-rc.1":                        "0.3.0~rc.1",
		"v0.0.0-20261130180200-63fcc01a2b3c": "0.0.0~20261130180200.63fcc01a2b3c",
		"v0.2.1-0.20261130180200-63fcc01a2b": "0.2.1~0.20261130180200.63fcc01a2b",
		"v1.0.0+incompatible":                "1.0.0",
	} {
		if got, err := pack.Version(module); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", module, got, err, want)
		}
	}
	if _, err := pack.Version("(devel)"); err == nil {
		t.Error("(devel) is taken for a version")
	}
}

func TestWriteRefusesWhatNoPackageHolds(t *testing.T) {
	if _, err := pack.Write(root, t.TempDir(), pack.Deb, program.Program{Name: "joinery-lab", Version: "v0.1.0"}); err == nil {
		t.Error("packed the lab")
	}
}
