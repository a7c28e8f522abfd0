package bakery

import (
	"archive/tar"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/joinery/joinery/lab/apt"
	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/packer/bake"
)

// Versions that the lab's programs report.
var (
	KubernetesVersion = strings.TrimPrefix(binaries.KubernetesVersion, "v")
	ContainerdVersion = "2.4.2"
)

// programs are where a node image of the store has programs of the kit.
var programs = []struct{ at, name string }{
	{"/usr/bin/kubeadm", "kubeadm"}, {"/usr/bin/kubelet", "kubelet"}, {"/usr/bin/kubectl", "kubectl"}, {"/usr/bin/crictl", "ctr"},
	{"/usr/local/bin/containerd", "containerd"}, {"/usr/local/bin/containerd-shim-runc-v2", "containerd-shim-runc-v2"},
	{"/usr/local/bin/ctr", "ctr"}, {"/usr/local/sbin/runc", "runc"},
}

// Store is a directory of what an image is made of: a signed apt repository, and
// archives with a signed file of their sums.
type Store struct {
	Dir string
	// Kubernetes is the version of the programs, without the v.
	Kubernetes string
	Key        *openpgp.Entity
	// Packages are those of the repository.
	Packages []apt.Package
	// Archives maps a component to its file's name.
	Archives map[string]string
}

// NewStore fills dir from the kit and a program of the agent. crictl is not among the
// lab's programs: the file of that name is its ctr, which nothing in a bake runs.
func NewStore(k *kit.Kit, agent, dir string) (*Store, error) {
	key, err := apt.NewKey("lab")
	if err != nil {
		return nil, err
	}
	packages, err := packages(k)
	if err != nil {
		return nil, err
	}
	s := &Store{Dir: dir, Kubernetes: kubernetesOf(k), Key: key, Packages: packages, Archives: map[string]string{}}
	for _, p := range s.Packages {
		if err := p.Write(dir); err != nil {
			return nil, err
		}
	}
	programs := k.Programs.Path
	for component, source := range map[string]string{
		bake.ComponentRunc: programs("runc"), bake.ComponentKubeadm: programs("kubeadm"), bake.ComponentKubelet: programs("kubelet"),
		bake.ComponentKubectl: programs("kubectl"), bake.ComponentAgent: agent, bake.ComponentImages: k.Pause,
	} {
		if err := s.file(component, source); err != nil {
			return nil, err
		}
	}
	for component, files := range map[string]map[string]string{
		bake.ComponentContainerd: {"bin/containerd": programs("containerd"), "bin/containerd-shim-runc-v2": programs("containerd-shim-runc-v2"), "bin/ctr": programs("ctr")},
		bake.ComponentCrictl:     {"crictl": programs("ctr")},
		bake.ComponentCNI:        plugins(k, ""),
	} {
		if err := s.tar(component, files); err != nil {
			return nil, err
		}
	}
	return s, s.Sign()
}

// Sign writes the indexes and sums of what the directory holds now.
func (s *Store) Sign() error {
	if err := apt.Index(s.Dir, s.Packages, s.Key); err != nil {
		return err
	}
	if err := apt.WriteKey(filepath.Join(s.Dir, "key.asc"), s.Key); err != nil {
		return err
	}
	names := slices.Sorted(maps.Values(s.Archives))
	for _, p := range s.Packages {
		names = append(names, p.FileName())
	}
	return apt.WriteSums(s.Dir, s.Key, names...)
}

// PinnedKey is the store's key as options name it.
func (s *Store) PinnedKey() bake.Key {
	return bake.Key{File: filepath.Join(s.Dir, "key.asc"), Fingerprint: apt.Fingerprint(s.Key)}
}

// ArchivesOf returns the store's archives of components below an address.
func (s *Store) ArchivesOf(address string, components ...string) []bake.Archive {
	var all []bake.Archive
	for _, c := range components {
		all = append(all, bake.Archive{Component: c, URL: address + "/" + s.Archives[c]})
	}
	return all
}

// Sums is the store's signed file of sums below an address.
func (s *Store) Sums(address string) *bake.Sums {
	return &bake.Sums{URL: address + "/SHA256SUMS", SignatureURL: address + "/SHA256SUMS.asc", Key: s.PinnedKey()}
}

// Options are how the lab makes its node image of the store at an address:
// Kubernetes from the repository, the rest from archives.
func (s *Store) Options(address string) bake.Options {
	return bake.Options{
		KubernetesVersion: s.Kubernetes, ContainerdVersion: ContainerdVersion, PauseImage: image.Pause,
		Repositories: []bake.Repository{{Name: "kubernetes", URL: address, Suite: "./", Key: s.PinnedKey()}},
		Archives:     s.ArchivesOf(address, bake.ComponentContainerd, bake.ComponentRunc, bake.ComponentAgent),
		Sums:         s.Sums(address),
	}
}

// plugins returns the CNI plugins of the kit's base, by their path below dir.
func plugins(k *kit.Kit, dir string) map[string]string {
	out := map[string]string{}
	for _, name := range []string{"bridge", "host-local", "loopback", "portmap", "ptp"} {
		out[dir+name] = filepath.Join(k.Base, "usr/lib/cni", name)
	}
	return out
}

//go:embed files
var files embed.FS

func kubernetesOf(k *kit.Kit) string { return strings.TrimPrefix(k.Programs.Kubernetes, "v") }

// packages are the five of the Kubernetes project, with the lab's programs.
func packages(k *kit.Kit) ([]apt.Package, error) {
	program := func(name, source string) map[string]image.File {
		return map[string]image.File{"/usr/bin/" + name: {Source: k.Programs.Path(source), Mode: 0o755}}
	}
	cni := map[string]image.File{}
	for at, source := range plugins(k, "/opt/cni/bin/") {
		cni[at] = image.File{Source: source, Mode: 0o755}
	}
	kubelet, kubeadm := program("kubelet", "kubelet"), program("kubeadm", "kubeadm")
	unit, err := files.ReadFile("files/kubelet.service")
	if err != nil {
		return nil, fmt.Errorf("read embedded file: %w", err)
	}
	kubelet["/usr/lib/systemd/system/kubelet.service"] = image.File{Data: unit}
	dropIn, err := files.ReadFile("files/10-kubeadm.conf")
	if err != nil {
		return nil, fmt.Errorf("read embedded file: %w", err)
	}
	kubeadm["/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"] = image.File{Data: dropIn}
	v := kubernetesOf(k) + "-1.1"
	return []apt.Package{
		{Name: "kubeadm", Version: v, Arch: runtime.GOARCH, Depends: "kubelet, kubectl, cri-tools", Files: kubeadm},
		{Name: "kubelet", Version: v, Arch: runtime.GOARCH, Depends: "iptables, ethtool, kubernetes-cni", Files: kubelet},
		{Name: "kubectl", Version: v, Arch: runtime.GOARCH, Files: program("kubectl", "kubectl")},
		{Name: "cri-tools", Version: v, Arch: runtime.GOARCH, Files: program("crictl", "ctr")},
		{Name: "kubernetes-cni", Version: "1.9.0-1.1", Arch: runtime.GOARCH, Files: cni},
	}, nil
}

// file puts a program or an archive of images into the store.
func (s *Store) file(component, source string) error {
	s.Archives[component] = component
	at := filepath.Join(s.Dir, component)
	if at == source {
		return nil
	}
	return image.WriteFiles(s.Dir, map[string]image.File{"/" + component: {Source: source, Mode: 0o755}})
}

// tar packs files, by their names in the archive.
func (s *Store) tar(component string, files map[string]string) error {
	s.Archives[component] = component + ".tar.gz"
	out, err := os.Create(filepath.Join(s.Dir, s.Archives[component]))
	if err != nil {
		return fmt.Errorf("pack %s: %w", component, err)
	}
	defer out.Close()
	zw, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("pack %s: %w", component, err)
	}
	tw := tar.NewWriter(zw)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := pack(tw, name, files[name]); err != nil {
			return fmt.Errorf("pack %s: %w", component, err)
		}
	}
	for _, c := range []io.Closer{tw, zw, out} {
		if err := c.Close(); err != nil {
			return fmt.Errorf("pack %s: %w", component, err)
		}
	}
	return nil
}

func pack(tw *tar.Writer, name, source string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size(), Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err = io.Copy(tw, in)
	return err
}
