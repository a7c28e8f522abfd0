package bake_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/packer/bake"
)

// recorder is a machine on which every script succeeds but for those that hold a
// text.
type recorder struct {
	scripts []string
	uploads map[string][]byte
	says    string            // what programs say of themselves; empty: what was ordered
	fails   map[string]string // part of a script -> what it prints as it fails
}

func (r *recorder) Run(_ context.Context, script string) (string, error) {
	r.scripts = append(r.scripts, script)
	for part, out := range r.fails {
		if strings.Contains(script, part) {
			return out, errors.New("exit status 1")
		}
	}
	switch {
	case strings.Contains(script, "os-release"):
		return "ID=debian\nVERSION_ID=\"12\"\n", nil
	case strings.Contains(script, "print-architecture"):
		return "amd64\n", nil
	}
	if r.says != "" {
		return r.says, nil
	}
	return "v1.37.2 2.4.2", nil
}

func (r *recorder) Upload(_ context.Context, path string, content io.Reader) error {
	data, err := io.ReadAll(content)
	if r.uploads == nil {
		r.uploads = map[string][]byte{}
	}
	r.uploads[path] = data
	return err
}

func (r *recorder) position(part string) int {
	for i, s := range r.scripts {
		if strings.Contains(s, part) {
			return i
		}
	}
	return -1
}

func TestBakeInOrder(t *testing.T) {
	_, o := shelf(t, true)
	m := &recorder{}
	var steps []string
	plan, err := bake.Baker{Machine: m, Report: func(s bake.Step) { steps = append(steps, s.Name) }}.Bake(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != len(plan.Steps) || steps[len(steps)-1] != "identity" {
		t.Errorf("steps %q", steps)
	}
	last := -1
	for _, part := range []string{
		"cloud-init status --wait", "systemctl mask 'apt-daily.timer'", "update --error-on=any", "install 'ca-certificates'", "apt-mark hold", "-C '/usr/local'",
		"systemctl enable 'containerd.service'", "systemctl disable 'kubelet.service'", "systemctl enable 'joinery-agent.service'", "images import", "/etc/ssh/ssh_host_*", "rm -rf /var/tmp/joinery-bake",
	} {
		at := m.position(part)
		if at <= last {
			t.Errorf("%s is at %d, after %d is wanted", part, at, last)
		}
		last = at
	}
	if got := m.uploads["/var/tmp/joinery-bake/runc.amd64"]; string(got) != "content of runc.amd64" {
		t.Errorf("runc arrived as %q", got)
	}
}

// Nothing is done to a machine when anything that is fetched is refused.
func TestRefusedBeforeTheMachineIsTouched(t *testing.T) {
	dir, o := shelf(t, true)
	put(t, dir, "runc.amd64", "altered")
	m := &recorder{}
	if _, err := (bake.Baker{Machine: m}).Bake(t.Context(), o); !errors.Is(err, bake.ErrUnverified) {
		t.Errorf("%v", err)
	}
	if len(m.scripts)+len(m.uploads) > 0 {
		t.Errorf("the machine was asked %q", m.scripts)
	}
}

// A failure says which action and why, in an operator's words where they are
// known, and the uploads are removed.
func TestFailures(t *testing.T) {
	for _, c := range []struct{ part, output, want string }{
		{"update --error-on", "W: GPG error: https://p ./ InRelease: The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 0123\nE: The repository 'https://p ./ InRelease' is not signed.\n",
			`sources: read the repositories' signed indexes: a repository is signed by another key than the pinned one`},
		{"update --error-on", "Err:1 https://p ./ InRelease\n  Sub-process /usr/bin/sqv returned an error code (1), error message is: Missing key 0123, which is needed to verify signature.\n", "signed by another key than the pinned one"},
		{"update --error-on", "E: The repository 'https://p ./ Release' is not signed.\n", "a repository is not signed, or is not there"},
		{"update --error-on", "W: GPG error: https://p ./ InRelease: The following signatures were invalid: BADSIG 0123 lab\nE: The repository 'https://p ./ InRelease' is not signed.\n", "altered after it was signed"},
		{"update --error-on", "E: Failed to fetch https://p/Packages  File has unexpected size (3 != 4). Mirror sync in progress?\n", "not the one that its signed index names"},
		{"update --error-on", "E: Release file for https://p is expired (invalid since 3d)\n", "has expired"},
		{"install 'ca-certificates'", "E: Version '1.37.2-*' for 'kubelet' was not found\n", "packages: install ca-certificates conntrack"},
		{"install 'ca-certificates'", "E: Version '1.37.2-*' for 'kubelet' was not found\n", "no repository has the version that was ordered (\"E: Version"},
		{"install 'ca-certificates'", "E: Unable to locate package kubelet\n", "no repository has a package that was ordered"},
		{"install 'ca-certificates'", "The following packages have unmet dependencies:\n kubelet : Depends: kubernetes-cni but it is not installable\nE: Unable to correct problems.\n",
			"a package needs another one that no repository and no directory has (\"kubelet : Depends: kubernetes-cni but it is not installable\")"},
		{"install 'ca-certificates'", "dpkg: error: something else\n", `"dpkg: error: something else"`},
		{"sha256sum", "", "upload containerd-2.4.2-linux-amd64.tar.gz: not verified: it arrived other than it was sent"},
	} {
		_, o := shelf(t, true)
		m := &recorder{fails: map[string]string{c.part: c.output}}
		_, err := bake.Baker{Machine: m}.Bake(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.part, err, c.want)
		}
		if last := m.scripts[len(m.scripts)-1]; last != "rm -rf /var/tmp/joinery-bake" {
			t.Errorf("%s: the last script is %q", c.part, last)
		}
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	// The recorder's programs say 2.4.2 and v1.37.2.
	for _, c := range [][2]string{{"1.37.2", "2.4.1"}, {"1.37.1", "2.4.2"}, {"1.31.7", "2.4.2"}} {
		_, o := shelf(t, true)
		o.KubernetesVersion, o.ContainerdVersion = c[0], c[1]
		_, err := bake.Baker{Machine: &recorder{}}.Bake(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "was ordered: the package or archive holds another version") {
			t.Errorf("%q: %v", c, err)
		}
	}
	// A longer version is another one.
	_, o := shelf(t, true)
	m := &recorder{says: "v1.37.20 2.4.2"}
	if _, err := (bake.Baker{Machine: m}).Bake(t.Context(), o); err == nil || !strings.Contains(err.Error(), "where v1.37.2 was ordered") {
		t.Errorf("%v", err)
	}
}

// hostile is a machine whose snapshot wants to get out of the directory.
type hostile struct {
	recorder
	printed string
}

func (h *hostile) Run(context.Context, string) (string, error) { return h.printed, nil }

func TestASnapshotStaysInItsDirectory(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for name, headers := range map[string][]tar.Header{
		"upwards":      {{Name: "../../../../../../../.." + outside, Typeflag: tar.TypeReg, Mode: 0o644}},
		"through link": {{Name: "etc", Typeflag: tar.TypeSymlink, Linkname: filepath.Dir(outside)}, {Name: "etc/outside", Typeflag: tar.TypeReg, Mode: 0o644}},
	} {
		var b bytes.Buffer
		tw := tar.NewWriter(&b)
		for _, h := range headers {
			if err := tw.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := (bake.Baker{Machine: &hostile{printed: packed(t, b.Bytes())}}).Check(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(outside); err == nil {
			t.Errorf("%s: a file was written outside", name)
		}
	}
	if _, err := (bake.Baker{Machine: &hostile{printed: "nonsense!"}}).Check(t.Context()); err == nil {
		t.Error("nonsense was read")
	}
}

// packed returns a tar archive as a snapshot prints it.
func packed(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if _, err := zw.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
