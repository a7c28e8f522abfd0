package machine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
)

// makeDisk stacks the machine's own writable directory on its image.
//
// containerd and kubelet get directories beside it: an overlay cannot carry the
// overlays that containerd unpacks images into ("not supported as upperdir").
func (m *Machine) makeDisk() error {
	for _, sub := range []string{"containerd", "kubelet", "lab"} {
		if err := os.MkdirAll(filepath.Join(m.dir, sub), 0o755); err != nil {
			return fmt.Errorf("make disk: %w", err)
		}
	}
	root, _, err := m.spec.Image.Mount(m.dir)
	if err != nil {
		return fmt.Errorf("make disk: %w", err)
	}
	files := map[string]image.File{
		"/etc/hostname":                  {Data: []byte(m.hostname() + "\n")},
		"/etc/cni/net.d/10-lab.conflist": {Data: conflist(m.spec.IP)},
		"/etc/kubernetes/manifests":      {Mode: os.ModeDir | 0o755}, // kubelet complains each second without
	}
	maps.Copy(files, m.spec.Files)
	if err := image.WriteFiles(root, files); err != nil {
		return fmt.Errorf("fill disk: %w", err)
	}
	env := fmt.Sprintf("CPUS=%d\nMEM_MIB=%d\n", m.spec.CPUs, m.spec.MemoryMiB)
	if err := os.WriteFile(filepath.Join(m.dir, "lab", "env"), []byte(env), 0o644); err != nil {
		return fmt.Errorf("describe instance type: %w", err)
	}
	return nil
}

func (m *Machine) hostname() string {
	if m.spec.Hostname != "" {
		return m.spec.Hostname
	}
	return hostName(m.spec.IP)
}

// removeDisk deletes the disk. It deletes nothing while something is mounted
// inside, which would be deleted along with it.
func (m *Machine) removeDisk() error {
	if err := host.Unmount(m.dir); err != nil {
		return err
	}
	left, err := host.Mounts(m.dir)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("delete disk: still mounted: %s", strings.Join(left, " "))
	}
	// nspawn leaves this directory when its machine dies of a pulled plug.
	propagate := filepath.Join(propagateDir, m.name)
	if err := os.Remove(propagate); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete disk: %w", err)
	}
	if err := os.RemoveAll(m.dir); err != nil {
		return fmt.Errorf("delete disk: %w", err)
	}
	return nil
}

// propagateDir is where nspawn keeps a directory per machine.
const propagateDir = "/run/systemd/nspawn/propagate"
