package machine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
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
	for inside, own := range ownDirs {
		if err := copyTree(filepath.Join(root, inside), filepath.Join(m.dir, own)); err != nil {
			return fmt.Errorf("fill disk: %w", err)
		}
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

// ownDirs are the directories that a machine has beside its overlay: path inside ->
// name in the machine's directory. They begin with what its image has there.
var ownDirs = map[string]string{"var/lib/containerd": "containerd", "var/lib/kubelet": "kubelet"}

// copyTree copies what a directory holds, with owners, times and extended attributes.
func copyTree(from, to string) error {
	if entries, err := os.ReadDir(from); errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("copy disk: %w", err)
	}
	// cp keeps the overlay's own marks of what was deleted, which Go's library does not.
	if out, err := host.Run(exec.Command("cp", "--archive", "--reflink=auto", from+"/.", to)); err != nil {
		return fmt.Errorf("copy disk: %w: %s", err, out)
	}
	return nil
}

// Snapshot copies the machine's disk into dir, a new directory, and returns it as an
// image. Of a machine that runs, it is what is written by now. dir must stay while a
// machine of the image exists.
func (m *Machine) Snapshot(dir string) (image.Image, error) {
	m.life.Lock()
	defer m.life.Unlock()
	if m.State() == Terminated {
		return image.Image{}, fmt.Errorf("snapshot %s: %w", m.spec.ID, ErrTerminated)
	}
	if err := copyTree(filepath.Join(m.dir, "upper"), dir); err != nil {
		return image.Image{}, fmt.Errorf("snapshot %s: %w", m.spec.ID, err)
	}
	for inside, own := range ownDirs {
		if err := copyTree(filepath.Join(m.dir, own), filepath.Join(dir, inside)); err != nil {
			return image.Image{}, fmt.Errorf("snapshot %s: %w", m.spec.ID, err)
		}
	}
	return image.Image{Layers: append([]string{dir}, m.spec.Image.Layers...)}, nil
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
