package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/host"
)

// logLimit is how much is kept of one log, its end, in bytes.
const logLimit = 8 << 20

// saveLogs puts the machine's console, journal and pod logs below LogDir.
func (m *Machine) saveLogs(ctx context.Context) error {
	if m.host.o.LogDir == "" {
		return nil
	}
	return m.Logs(ctx, filepath.Join(m.host.o.LogDir, m.spec.ID))
}

// Logs writes what the machine has logged so far into dir: console.log (what
// nspawn and init printed), journal.log (all boots) and pods/. It works whether
// the machine runs or not.
func (m *Machine) Logs(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keep logs: %w", err)
	}
	errs := []error{
		copyEnd(filepath.Join(m.dir, consoleName), filepath.Join(dir, consoleName)),
		m.journal(ctx, filepath.Join(dir, "journal.log")),
	}
	pods, err := filepath.Glob(m.Path("/var/log/pods/*/*/*.log"))
	errs = append(errs, err)
	for _, from := range pods {
		// <namespace>_<pod>_<uid>/<container>/<restart>.log
		name := strings.ReplaceAll(strings.TrimPrefix(from, m.Path("/var/log/pods")+"/"), "/", "_")
		if err := os.MkdirAll(filepath.Join(dir, "pods"), 0o755); err != nil {
			errs = append(errs, err)
			break
		}
		errs = append(errs, copyEnd(from, filepath.Join(dir, "pods", name)))
	}
	return errors.Join(errs...)
}

func (m *Machine) journal(ctx context.Context, to string) error {
	from := m.Path("/var/log/journal")
	if _, err := os.Stat(from); err != nil {
		return nil // it never got as far as a journal
	}
	cmd := exec.CommandContext(ctx, "journalctl", "--directory="+from, "--no-pager", "--quiet", "--output=short-precise")
	host.Detach(cmd)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("read journal: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	text := out.Bytes()
	if len(text) > logLimit {
		text = text[len(text)-logLimit:]
	}
	return os.WriteFile(to, text, 0o644)
}

func copyEnd(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // logged nothing, or a container's link whose end is gone
	}
	if err != nil {
		return fmt.Errorf("keep log: %w", err)
	}
	defer in.Close()
	if info, err := in.Stat(); err == nil && info.Size() > logLimit {
		if _, err := in.Seek(-logLimit, io.SeekEnd); err != nil {
			return fmt.Errorf("keep log: %w", err)
		}
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("keep log: %w", err)
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
