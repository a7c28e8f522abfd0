//go:build linux

package bakery_test

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/joinery/joinery/lab/apt"
	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/packer/check"
)

// world is a run with a store that its machines reach.
type world struct {
	t     *testing.T
	kit   *kit.Kit
	host  *machine.Host
	store *bakery.Store
	site  *site
}

func newWorld(t *testing.T) world {
	t.Helper()
	k, h := labtest.Kit(t), newHost(t)
	begin := time.Now()
	dir := t.TempDir()
	s, err := bakery.NewStore(k, newAgent(t, k, dir), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("store: %.1f s", time.Since(begin).Seconds())
	return world{t: t, kit: k, host: h, store: s, site: serve(t, h, s.Dir)}
}

// newAgent compiles this tree's agent.
func newAgent(t *testing.T, k *kit.Kit, dir string) string {
	t.Helper()
	own, err := k.Own(t.Context(), dir, "./cmd/joinery-agent")
	if err != nil {
		t.Fatal(err)
	}
	return own["joinery-agent"]
}

func newHost(t *testing.T) *machine.Host {
	t.Helper()
	h, err := machine.NewHost(machine.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(labtest.Lasting(t)); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// stock boots a machine of a base that no one has touched, but for apt's sources:
// the distribution's own are out of reach here.
func (w world) stock(t *testing.T, base, id, ip string) *machine.Machine {
	t.Helper()
	files, err := image.Machine("us-west-2")
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(files, bakery.Stock())
	files["/root/.bash_history"] = image.File{Data: []byte("a secret\n")}
	files["/var/lib/cloud/instance/id"] = image.File{Data: []byte(id)}
	img, err := image.Image{Layers: []string{base}}.With(filepath.Join(w.host.Dir(), "stock-"+id), files)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.host.Launch(t.Context(), machine.Spec{ID: id, IP: netip.MustParseAddr(ip), CPUs: 2, MemoryMiB: 2048, Image: img})
	if err != nil {
		t.Fatal(err)
	}
	w.up(t, m)
	return m
}

func (w world) up(t *testing.T, m *machine.Machine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := m.WaitUnits(ctx, "lab-machine.service", "multi-user.target"); err != nil {
		t.Fatal(err)
	}
}

func (w world) bake(t *testing.T, m *machine.Machine, o bake.Options) error {
	t.Helper()
	begin := time.Now()
	_, err := bake.Baker{Machine: bakery.Guest{Machine: m}, HTTP: bakery.Client(w.host), Report: func(s bake.Step) {
		t.Logf("%4.1f s %s", time.Since(begin).Seconds(), s.Name)
	}}.Bake(t.Context(), o)
	t.Logf("%4.1f s end", time.Since(begin).Seconds())
	return err
}

func (w world) passes(t *testing.T, m *machine.Machine) {
	t.Helper()
	found, err := check.Image(os.DirFS(m.Path("/")).(fs.ReadLinkFS))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// checksAlive has the checks look at the machine while it runs, as a provisioner
// does: it passes as it is and fails once it is spoiled.
func (w world) checksAlive(t *testing.T, m *machine.Machine) {
	t.Helper()
	guest := bakery.Guest{Machine: m}
	look := func() []check.Finding {
		t.Helper()
		found, err := bake.Baker{Machine: guest}.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if found := look(); len(found) > 0 {
		t.Errorf("the running machine fails %q", found)
	}
	const spoil = "mkdir -p /etc/ssh && touch /etc/ssh/ssh_host_rsa_key && chmod 0777 /usr/local/bin/joinery-agent"
	const undo = "rm /etc/ssh/ssh_host_rsa_key && chmod 0755 /usr/local/bin/joinery-agent"
	if out, err := guest.Run(t.Context(), spoil); err != nil {
		t.Fatal(err, out)
	}
	var names []string
	for _, f := range look() {
		names = append(names, f.Check)
	}
	if want := []string{"host-keys", "program-modes"}; !slices.Equal(names, want) {
		t.Errorf("the spoiled machine fails %q, want %q", names, want)
	}
	if out, err := guest.Run(t.Context(), undo); err != nil {
		t.Fatal(err, out)
	}
}

// options are those of the lab's own image, and container images.
func (w world) options() bake.Options {
	o := w.store.Options(bakery.Address)
	o.Archives = append(o.Archives, w.store.ArchivesOf(bakery.Address, bake.ComponentImages)...)
	return o
}

func TestBakeDebian12(t *testing.T) {
	w := newWorld(t)
	m := w.stock(t, w.kit.Base, "i-0000000000000000a", "10.99.0.12")
	t.Run("refused", func(t *testing.T) { w.refuses(t, m) })
	t.Run("packages and archives", func(t *testing.T) {
		if err := w.bake(t, m, w.options()); err != nil {
			t.Fatal(err)
		}
		w.passes(t, m)
		w.checksAlive(t, m)
		w.boots(t, m)
	})
	t.Run("offline", func(t *testing.T) {
		m := w.stock(t, w.kit.Base, "i-0000000000000000b", "10.99.0.13")
		o := w.options()
		o.Repositories, o.Offline = nil, w.store.Dir
		w.site.spoil(map[string][]byte{"/SHA256SUMS": nil}) // no one asks the site
		defer w.site.spoil(nil)
		whole := o.Offline
		o.Offline = w.without(t, "kubernetes-cni")
		const want = "a package needs another one that no repository and no directory has"
		if err := w.bake(t, m, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without a package: %v, want %q", err, want)
		}
		o.Offline = whole
		if err := w.bake(t, m, o); err != nil {
			t.Fatal(err)
		}
		w.passes(t, m)
	})
}

// without returns a directory with all of the store but one package.
func (w world) without(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob(filepath.Join(w.store.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasPrefix(filepath.Base(f), name+"_") {
			if err := os.Symlink(f, filepath.Join(dir, filepath.Base(f))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

var releases = flag.Bool("releases", false, "bake the other releases too; the first time that takes a debootstrap of each")

// Debian 13's apt verifies signatures by another program than Debian 12's.
func TestBakeDebian13(t *testing.T) {
	if !*releases {
		t.Skip("without -releases: the base of another release takes minutes to make")
	}
	w := newWorld(t)
	cache, err := binaries.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	base, err := image.BaseOf(t.Context(), cache, "trixie", labtest.Report(t))
	if err != nil {
		t.Fatal(err)
	}
	m := w.stock(t, base, "i-0000000000000000c", "10.99.0.14")
	w.refuses(t, m)
	if err := w.bake(t, m, w.options()); err != nil {
		t.Fatal(err)
	}
	w.passes(t, m)
	w.boots(t, m)
}

// boots restarts the image's machine and looks at what runs.
func (w world) boots(t *testing.T, m *machine.Machine) {
	t.Helper()
	if err := m.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.up(t, m)
	guest := bakery.Guest{Machine: m}
	for script, want := range map[string]string{
		"systemctl is-active containerd":                                    "active",
		"systemctl is-enabled kubelet || true":                              "disabled",
		"systemctl is-enabled apt-daily || true":                            "masked",
		"systemctl show -P ActiveState kubelet":                             "inactive",
		"systemctl show -P Result joinery-agent":                            "success",
		"ctr -n k8s.io images list -q 2>/dev/null | grep -x " + image.Pause: image.Pause,
		"apt-mark showhold":                                                 "cri-tools\nkubeadm\nkubectl\nkubelet\nkubernetes-cni",
		"sysctl -n net.ipv4.ip_forward":                                     "1",
		"test -s /etc/machine-id && echo anew":                              "anew",
		"kubelet --version":                                                 "Kubernetes v" + bakery.KubernetesVersion,
		"ls /var/lib/kubelet /etc/kubernetes/ | grep -c conf || true":       "0",
	} {
		out, err := guest.Run(t.Context(), script)
		if got := strings.TrimSpace(out); err != nil || got != want {
			t.Errorf("%s: %q (%v), want %q", script, got, err, want)
		}
	}
}

// refuses tries what must not get into an image. The machine is the same each
// time: what is refused must not spoil the next try either.
func (w world) refuses(t *testing.T, m *machine.Machine) {
	other, err := apt.NewKey("other")
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(w.store.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	cni := w.store.Packages[4].FileName()
	altered := bytes.Clone(read(cni))
	altered[len(altered)-1] ^= 1
	for _, c := range []struct {
		name   string
		served map[string][]byte
		change func(*bake.Options)
		want   string
	}{
		{"unsigned", map[string][]byte{"/InRelease": nil}, nil, "a repository is not signed, or is not there"},
		{"signed by another key", map[string][]byte{"/InRelease": w.signedBy(t, other)}, nil, "signed by another key than the pinned one"},
		{"altered index", map[string][]byte{"/InRelease": bytes.Replace(read("InRelease"), []byte("Origin: lab"), []byte("Origin: bad"), 1)}, nil, "altered after it was signed"},
		{"altered list of packages", map[string][]byte{"/Packages": bytes.Replace(read("Packages"), []byte("made by the lab"), []byte("made by the bad"), 1)}, nil, "not the one that its signed index names"},
		{"altered package", map[string][]byte{"/" + cni: altered}, nil, "not the one that its signed index names"},
		{"missing package", map[string][]byte{"/" + cni: nil}, nil, "lacks a file that its index names"},
		{"missing version", nil, func(o *bake.Options) { o.KubernetesVersion = "1.37.1" }, "no repository has the version that was ordered"},
		{"another runtime", nil, func(o *bake.Options) { o.ContainerdVersion = "2.4.1" }, "where 2.4.1 was ordered: the package or archive holds another version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.site.spoil(c.served)
			defer w.site.spoil(nil)
			o := w.options()
			if c.change != nil {
				c.change(&o)
			}
			if err := w.bake(t, m, o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			} else {
				t.Log(err)
			}
		})
	}
}

// signedBy returns the store's index as signed by another key.
func (w world) signedBy(t *testing.T, key *openpgp.Entity) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, p := range w.store.Packages {
		if err := os.Symlink(filepath.Join(w.store.Dir, p.FileName()), filepath.Join(dir, p.FileName())); err != nil {
			t.Fatal(err)
		}
	}
	if err := apt.Index(dir, w.store.Packages, key); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "InRelease"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
