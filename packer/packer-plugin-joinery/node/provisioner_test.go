package node

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// claims is a machine that does nothing of what it is told and says that it did.
type claims struct {
	packersdk.MockCommunicator
	t *testing.T
}

func (c *claims) Start(_ context.Context, rc *packersdk.RemoteCmd) error {
	answer := "v1.37.2 2.4.2\n"
	switch {
	case strings.Contains(rc.Command, "os-release"):
		answer = "ID=debian\nVERSION_ID=\"12\"\n"
	case strings.Contains(rc.Command, "print-architecture"):
		answer = "amd64\n"
	case strings.Contains(rc.Command, "base64"):
		answer = emptySnapshot(c.t)
	}
	_, err := rc.Stdout.Write([]byte(answer))
	go rc.SetExited(0)
	return err
}

// emptySnapshot is a machine's files as the checks read them: none.
func emptySnapshot(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	if err := tar.NewWriter(zw).Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// said keeps what a user would see.
func said() (*packersdk.BasicUi, *bytes.Buffer) {
	var out bytes.Buffer
	return &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: &out, ErrorWriter: &out}, &out
}

// The image is judged by what is on it, and a bad one is an error, with which packer
// makes no image.
func TestABadImageFailsTheBuild(t *testing.T) {
	p := prepared(t)
	ui, out := said()
	err := p.Provision(t.Context(), ui, &claims{t: t}, nil)
	if err == nil {
		t.Fatal("a machine on which nothing was done was accepted")
	}
	for _, want := range []string{"of its checks and is not kept:\n", "\nrecord: /etc/joinery/image.json does not say", "\nmachine-id: ", "\nagent"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	for _, want := range []string{"quiet: package timers hold", "identity: instances of one image", "check: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("said %q, which lacks %q", out, want)
		}
	}
}

// What fails is said with the step, and the checks are not made.
func TestABakeThatFailsIsAnError(t *testing.T) {
	p := prepared(t)
	p.config.KubernetesVersion = "1.37.1" // the machine's programs are of another one
	ui, out := said()
	err := p.Provision(t.Context(), ui, &claims{t: t}, nil)
	if err == nil || !strings.Contains(err.Error(), "kubernetes: kubeadm version -o short says") {
		t.Errorf("%v", err)
	}
	if strings.Contains(out.String(), "check: ") {
		t.Errorf("checked all the same: %q", out)
	}
}

func prepared(t *testing.T) *Provisioner {
	t.Helper()
	agent := filepath.Join(t.TempDir(), "joinery-agent")
	if err := os.WriteFile(agent, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := valid()
	b["repository"] = nil
	archives := []map[string]any{}
	for _, c := range []string{"joinery-agent", "cni-plugins", "crictl", "containerd", "runc", "kubeadm", "kubelet", "kubectl"} {
		archives = append(archives, map[string]any{"component": c, "url": agent, "checksum": programSum})
	}
	for _, a := range archives[1:4] { // those that are unpacked
		a["url"] = agent + ".tar.gz"
	}
	if err := os.Link(agent, agent+".tar.gz"); err != nil {
		t.Fatal(err)
	}
	b["archive"] = archives
	p := new(Provisioner)
	if err := p.Prepare(b); err != nil {
		t.Fatal(err)
	}
	return p
}

// programSum is that of the word program.
const programSum = "sha256:1310ca2c8932dbd118668bd97442558a3e1f546b5e15c69699dfbd6024f548d8"
