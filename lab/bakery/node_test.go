//go:build linux

package bakery_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/packer/check"
)

// mayDiffer are patterns of what a machine that was baked has other than the lab's
// own image, which was never booted. A directory stands for all that is in it.
var mayDiffer = map[string]string{
	"/etc/systemd/system/lab-machine.service":                      "the hardware of a machine of the lab; the image gets it with each run",
	"/etc/systemd/system/sysinit.target.wants/lab-machine.service": "the same",
	"/usr/local/sbin/lab-machine":                                  "the same",
	"/etc/hosts":                                                   "the DNS of the VPC; the image gets it with each run",
	"/etc/cni/net.d/10-lab.conflist":                               "the machine's pod subnet, which the lab writes at each launch",
}

// The machine is baked as packer does it: booted, over a communicator.
func TestBothWaysGiveTheSameFiles(t *testing.T) {
	w := newWorld(t)
	m := w.stock(t, w.kit.Base, "i-0000000000000000a", "10.99.0.12")
	if err := w.bake(t, m, w.store.Options(bakery.Address)); err != nil {
		t.Fatal(err)
	}
	baked := list(t, m.Path("/"))
	layer := filepath.Join(w.host.Dir(), "node")
	if err := bakery.Bake(t.Context(), w.host, w.kit, w.store, layer); err != nil {
		t.Fatal(err)
	}
	own := list(t, mount(t, w.host, image.Image{Layers: []string{layer, w.kit.Base}}))
	if len(own) < 5000 {
		t.Errorf("the image has only %d files", len(own))
	}
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(union(baked, own))) {
		if baked[name] == own[name] {
			continue
		}
		if pattern := excused(name); pattern != "" {
			used[pattern] = true
			continue
		}
		t.Errorf("%s: baked by a machine %q, by the lab %q", name, baked[name], own[name])
	}
	for pattern, why := range mayDiffer {
		if !used[pattern] {
			t.Errorf("%s does not differ (%s)", pattern, why)
		}
	}
}

func excused(name string) string {
	for ; name != "/"; name = path.Dir(name) {
		if _, ok := mayDiffer[name]; ok {
			return name
		}
	}
	return ""
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// mount shows an image until the test ends.
func mount(t *testing.T, h *machine.Host, i image.Image) string {
	t.Helper()
	dir := filepath.Join(h.Dir(), "mounted")
	root, _, err := i.Mount(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Unmount(dir); err != nil {
			t.Error(err)
		}
	})
	return root
}

// list returns path -> mode, owner and content of every file below root.
func list(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := contentOf(at, info)
		stat := info.Sys().(*syscall.Stat_t)
		all[path.Clean("/"+at[len(root):])] = fmt.Sprintf("%s %d:%d %s", info.Mode(), stat.Uid, stat.Gid, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func contentOf(at string, info fs.FileInfo) (string, error) {
	switch {
	case info.Mode().Type() == fs.ModeSymlink:
		return os.Readlink(at)
	case !info.Mode().IsRegular():
		return "", nil
	}
	in, err := os.Open(at)
	if err != nil {
		return "", err
	}
	defer in.Close()
	h := sha256.New()
	_, err = io.Copy(h, in)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// The image that every machine of the lab boots from is one that packer could have
// made: the checks of packer/check know nothing of the lab.
func TestTheLabsImagePassesTheChecks(t *testing.T) {
	k, h := labtest.Kit(t), newHost(t)
	node, err := bakery.Node(t.Context(), h, k, newAgent(t, k, t.TempDir()), labtest.Report(t))
	if err != nil {
		t.Fatal(err)
	}
	found, err := check.Image(os.DirFS(mount(t, h, node)).(fs.ReadLinkFS))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}
