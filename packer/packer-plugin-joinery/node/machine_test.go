package node

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// shell runs commands on this computer, as the user that its id claims to be.
type shell struct {
	packersdk.MockCommunicator
	path string
	// lost is the status that commands end with, in place of their own, if it is not 0.
	lost int
}

// login makes a shell with an id and a sudo of its own.
func login(t *testing.T, uid string) *shell {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"id":   "#!/bin/sh\necho " + uid + "\n",
		"sudo": "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nshift\necho by sudo\nexec \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &shell{path: dir + ":" + os.Getenv("PATH")}
}

func (s *shell) Start(ctx context.Context, rc *packersdk.RemoteCmd) error {
	cmd := exec.CommandContext(ctx, "sh", "-c", rc.Command)
	cmd.Env = []string{"PATH=" + s.path}
	cmd.Stdout, cmd.Stderr = rc.Stdout, rc.Stderr
	go func() {
		_ = cmd.Run() // the status says it
		if s.lost != 0 {
			rc.SetExited(s.lost)
			return
		}
		rc.SetExited(cmd.ProcessState.ExitCode())
	}()
	return nil
}

const quotes = `set -e
echo "it's" '$HOME' \\ "$0"
echo wrong >&2
`

func TestRunAsRoot(t *testing.T) {
	out, err := machine{login(t, "0")}.Run(t.Context(), quotes)
	if want := "it's $HOME \\ sh\nwrong\n"; err != nil || out != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}

func TestRunBecomesRoot(t *testing.T) {
	out, err := machine{login(t, "1000")}.Run(t.Context(), quotes)
	if want := "by sudo\nit's $HOME \\ sh\nwrong\n"; err != nil || out != want {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
}

func TestRunFails(t *testing.T) {
	out, err := machine{login(t, "0")}.Run(t.Context(), "echo why; exit 3")
	if out != "why\n" || err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%q, %v", out, err)
	}
	s := login(t, "0")
	s.lost = packersdk.CmdDisconnect
	if _, err := (machine{s}).Run(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "connection was lost") {
		t.Errorf("%v", err)
	}
}

// Nothing ends the command on the other side until packer closes the connection.
func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (machine{&deaf{}}).Run(ctx, "sleep 60"); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v", err)
	}
}

// deaf is a communicator whose commands do not end.
type deaf struct{ packersdk.MockCommunicator }

func (*deaf) Start(context.Context, *packersdk.RemoteCmd) error { return nil }

// streams copies both streams side by side, as packer's RPC does: the one for errors is
// read from before there is any output, and ends after it.
type streams struct{ packersdk.MockCommunicator }

func (*streams) Start(_ context.Context, rc *packersdk.RemoteCmd) error {
	stdout, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(rc.Stderr, readFunc(func([]byte) (int, error) {
			close(stdout)
			time.Sleep(20 * time.Millisecond) // as long as the other one may write
			return 0, io.EOF
		}))
	}()
	<-stdout
	_, err := io.Copy(rc.Stdout, readFunc(strings.NewReader("text").Read))
	<-ended
	rc.SetExited(0)
	return err
}

// readFunc is an io.Reader and nothing else.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestOutputOfTwoStreams(t *testing.T) {
	if out, err := (machine{&streams{}}).Run(t.Context(), "true"); err != nil || out != "text" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestUpload(t *testing.T) {
	var comm packersdk.MockCommunicator
	if err := (machine{&comm}).Upload(t.Context(), "/there", iotest.OneByteReader(strings.NewReader("text"))); err != nil {
		t.Fatal(err)
	}
	if comm.UploadPath != "/there" || comm.UploadData != "text" {
		t.Errorf("%s: %q", comm.UploadPath, comm.UploadData)
	}
}
