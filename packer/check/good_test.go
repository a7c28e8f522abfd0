package check_test

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/packer/bake"
)

// archive returns an archive that can be named and is never fetched: these tests
// look at the files of a plan.
func archive(component, file string) bake.Archive {
	return bake.Archive{Component: component, URL: "https://archives.example/" + file, Checksum: "sha256:" + strings.Repeat("0", 64)}
}

// packaged has everything that can come from packages come from them.
func packaged() bake.Options {
	return bake.Options{
		KubernetesVersion: "1.37.2", ContainerdVersion: "2.4.2",
		Repositories: []bake.Repository{{Name: "kubernetes", URL: "https://packages.example/deb", Suite: "/",
			Key: bake.Key{File: "key.asc", Fingerprint: strings.Repeat("A", 40)}}},
		Archives: []bake.Archive{archive(bake.ComponentAgent, "joinery-agent")},
	}
}

// archived has everything come from archives.
func archived() bake.Options {
	return bake.Options{
		KubernetesVersion: "1.33.1", ContainerdVersion: "1.7.27",
		Archives: []bake.Archive{
			archive(bake.ComponentAgent, "joinery-agent"), archive(bake.ComponentContainerd, "containerd.tar.gz"), archive(bake.ComponentRunc, "runc"),
			archive(bake.ComponentCNI, "cni.tgz"), archive(bake.ComponentCrictl, "crictl.tar.gz"), archive(bake.ComponentKubeadm, "kubeadm"),
			archive(bake.ComponentKubelet, "kubelet"), archive(bake.ComponentKubectl, "kubectl"),
		},
	}
}

// root is a directory that a plan is carried out in, as far as files go: programs
// are the heads of ELF files, packages are their programs and their entry in dpkg's
// database.
type root struct {
	t      *testing.T
	dir    string
	system bake.System
	dpkg   map[string][2]string // package -> version, status
}

// good returns an image that a plan makes of a machine that has been used.
func good(t *testing.T, o bake.Options, system bake.System) root {
	t.Helper()
	r := root{t: t, dir: t.TempDir(), system: system, dpkg: map[string][2]string{}}
	r.used()
	plan, err := bake.New(o, bake.Inputs{Keyrings: map[string][]byte{"kubernetes": []byte("key")}}, system)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range plan.Steps {
		for _, a := range s.Actions {
			r.do(a)
		}
	}
	return r
}

// used leaves what a stock machine has after it was booted and logged in to.
func (r root) used() {
	for name, text := range map[string]string{
		"/etc/machine-id": "0123456789abcdef0123456789abcdef\n", "/var/lib/dbus/machine-id": "0123456789abcdef0123456789abcdef\n",
		"/etc/ssh/ssh_host_ed25519_key": "key", "/root/.ssh/authorized_keys": "key", "/home/admin/.ssh/authorized_keys": "key",
		"/var/lib/cloud/instance/id": "i-1", "/var/lib/cloud/sem/x": "1", "/etc/hostname": "ip-10-0-0-1\n",
		"/var/log/syslog": "text", "/var/log/journal/0123/system.journal": "text", "/var/log/apt/history.log": "text",
		"/root/.bash_history": "secret", "/home/admin/.bash_history": "secret", "/var/lib/systemd/random-seed": "seed",
		"/etc/netplan/50-cloud-init.yaml": "mac", "/var/lib/dhcp/dhclient.eth0.leases": "lease", "/var/tmp/joinery-bake/files.tar": "tar",
		"/var/lib/joinery/state.json": "{}", "/var/lib/kubelet/config.yaml": "x", "/etc/kubernetes/kubelet.conf": "x",
		"/root/.aws/credentials": "secret", "/var/cache/apt/archives/x.deb": "deb", "/etc/fstab": "UUID=1 / ext4 defaults 0 1\n",
		"/etc/apt/sources.list": "deb http://distribution.example stable main\n",
	} {
		r.write(name, text, 0o644)
	}
}

func (r root) path(name string) string { return filepath.Join(r.dir, name) }

func (r root) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r root) write(name, text string, mode os.FileMode) {
	r.t.Helper()
	r.must(os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	r.must(os.RemoveAll(r.path(name)))
	r.must(os.WriteFile(r.path(name), []byte(text), mode))
	r.must(os.Chmod(r.path(name), mode))
}

func (r root) link(name, target string) {
	r.t.Helper()
	r.must(os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	r.must(os.RemoveAll(r.path(name)))
	r.must(os.Symlink(target, r.path(name)))
}

func (r root) program(name string) { r.write(name, head(r.system.Arch), 0o755) }

// head is the beginning of a program for an architecture.
func head(arch string) string {
	h := make([]byte, 64)
	copy(h, elf.ELFMAG)
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]
	binary.LittleEndian.PutUint16(h[18:], uint16(machine))
	return string(h)
}

var cniPlugins = []string{"bandwidth", "bridge", "host-local", "loopback", "portmap"}

// contents are what packages and archives bring.
func (r root) contents(name string) {
	switch name {
	case "containerd", "containerd.io":
		for _, p := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
			r.program(filepath.Join(map[string]string{"containerd": "/usr/local/bin", "containerd.io": "/usr/bin"}[name], p))
		}
		if name == "containerd.io" {
			r.program("/usr/bin/runc")
			r.write("/usr/lib/systemd/system/containerd.service", "[Service]\n", 0o644)
		}
	case "cni-plugins", "kubernetes-cni":
		for _, p := range cniPlugins {
			r.program("/opt/cni/bin/" + p)
		}
	case "crictl":
		r.program("/usr/local/bin/crictl")
	case "cri-tools":
		r.program("/usr/bin/crictl")
	case "conntrack", "ethtool", "iptables":
		r.program("/usr/sbin/" + name)
	case "mount":
		r.program("/usr/bin/mount")
	case "iproute2":
		r.program("/usr/bin/ip")
	case "kubeadm", "kubelet", "kubectl":
		r.program("/usr/bin/" + name)
	}
}

func (r root) do(a bake.Action) {
	r.t.Helper()
	switch a := a.(type) {
	case bake.Write:
		r.write(a.Path, string(a.Data), a.Mode)
	case bake.Place:
		r.program(a.Path)
	case bake.Unpack:
		r.contents(a.Archive.Component)
	case bake.Install:
		for _, p := range a.Packages {
			name, v, _ := strings.Cut(p, "=")
			r.contents(name)
			r.dpkg[name] = [2]string{strings.TrimSuffix(v, "*") + "1.1", "install ok installed"}
		}
		r.database()
	case bake.Hold:
		for _, p := range a.Packages {
			r.dpkg[p] = [2]string{r.dpkg[p][0], "hold ok installed"}
		}
		r.database()
	case bake.Units:
		r.units(a)
	case bake.Remove:
		for _, p := range a.Patterns {
			found, err := filepath.Glob(r.path(p))
			r.must(err)
			for _, f := range found {
				r.must(os.RemoveAll(f))
			}
		}
	case bake.Empty:
		r.must(filepath.WalkDir(r.path(a.Dir), func(name string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return os.Truncate(name, 0)
		}))
	}
}

func (r root) units(a bake.Units) {
	for _, u := range a.Mask {
		r.link("/etc/systemd/system/"+u, "/dev/null")
	}
	for _, u := range a.Disable {
		r.must(os.RemoveAll(r.path("/etc/systemd/system/multi-user.target.wants/" + u)))
	}
	for _, u := range a.Enable {
		target := "/usr/lib/systemd/system/" + u
		if _, err := os.Stat(r.path("/etc/systemd/system/" + u)); err == nil {
			target = "/etc/systemd/system/" + u
		}
		r.link("/etc/systemd/system/multi-user.target.wants/"+u, target)
	}
}

func (r root) database() {
	var b strings.Builder
	for name, p := range r.dpkg {
		fmt.Fprintf(&b, "Package: %s\nStatus: %s\nVersion: %s\nDescription: x\n more\n\n", name, p[1], p[0])
	}
	r.write("/var/lib/dpkg/status", b.String(), 0o644)
}
