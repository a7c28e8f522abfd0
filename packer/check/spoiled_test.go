package check_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/packer/check"
	"github.com/joinery/joinery/systemd"
)

var debian12 = bake.System{ID: "debian", Version: "12", Arch: "amd64"}

func findings(t *testing.T, r root) []check.Finding {
	t.Helper()
	found, err := check.Image(os.DirFS(r.dir).(fs.ReadLinkFS))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Every release, both architectures and both sources give an image that passes.
func TestGood(t *testing.T) {
	for _, name := range bake.Systems() {
		id, v, _ := strings.Cut(name, " ")
		for _, arch := range []string{"amd64", "arm64"} {
			system := bake.System{ID: id, Version: v, Arch: arch}
			for source, o := range map[string]bake.Options{"packages": packaged(), "archives": archived()} {
				t.Run(system.String()+" "+source, func(t *testing.T) {
					t.Parallel()
					for _, f := range findings(t, good(t, o, system)) {
						t.Error(f)
					}
				})
			}
		}
	}
}

// replace changes one text of a file.
func replace(file, old, text string) func(root) {
	return func(r root) {
		r.t.Helper()
		data, err := os.ReadFile(r.path(file))
		r.must(err)
		if !strings.Contains(string(data), old) {
			r.t.Fatalf("%s does not hold %q: nothing would be spoiled", file, old)
		}
		r.write(file, strings.Replace(string(data), old, text, 1), 0o644)
	}
}

func add(file, text string) func(root) { return func(r root) { r.write(file, text, 0o600) } }

func remove(file string) func(root) {
	return func(r root) {
		r.t.Helper()
		if _, err := os.Lstat(r.path(file)); err != nil {
			r.t.Fatalf("nothing would be spoiled: %v", err)
		}
		r.must(os.RemoveAll(r.path(file)))
	}
}

// spoiling makes one thing of an image wrong.
type spoiling struct {
	name     string
	archives bool // of an image that is made from archives
	spoil    func(root)
	check    string
	sentence string // a part of it that names the thing and the harm
}

var spoiled = []spoiling{
	{"baked machine-id", false, add("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"), "machine-id", "all instances would be the same machine to journald"},
	{"no machine-id", false, remove("/etc/machine-id"), "machine-id", "/etc/machine-id is missing: systemd would take each boot for a first one"},
	{"D-Bus machine-id", false, add("/var/lib/dbus/machine-id", "0123"), "dbus-machine-id", "the same machine on D-Bus"},
	{"ssh host key", false, add("/etc/ssh/ssh_host_ed25519_key", "key"), "host-keys", "/etc/ssh/ssh_host_ed25519_key: whoever has the image could pose"},
	{"temporary login key of root", false, add("/root/.ssh/authorized_keys", "key"), "authorized-keys", "/root/.ssh/authorized_keys: the holder of that key could log in"},
	{"temporary login key of the user", false, add("/home/admin/.ssh/authorized_keys", "key"), "authorized-keys", "/home/admin/.ssh/authorized_keys"},
	{"AWS credentials", false, add("/root/.aws/credentials", "key"), "credentials", "/root/.aws: every instance, and all who may launch one"},
	{"random seed", false, add("/var/lib/systemd/random-seed", "seed"), "random-seed", "begin with the same random numbers"},
	{"netplan of the machine that was baked", false, add("/etc/netplan/50-cloud-init.yaml", "x"), "network-identity", "describes the network card of the machine that was baked"},
	{"host name", false, add("/etc/hostname", "ip-10-0-0-1\n"), "hostname", "names the machine that was baked"},
	{"cloud-init's state", false, add("/var/lib/cloud/instance/boot-finished", "x"), "cloud-init", "leave out what it does once"},
	{"agent's state", false, add("/var/lib/joinery/state.json", "{}"), "agent-state", "/var/lib/joinery/state.json: the agent would begin"},
	{"kubelet's credential", false, add("/etc/kubernetes/kubelet.conf", "x"), "kubelet-state", "/etc/kubernetes/kubelet.conf: the kubelet would come up as another node"},
	{"kubelet's certificates", false, add("/var/lib/kubelet/pki/kubelet-client-current.pem", "x"), "kubelet-state", "/var/lib/kubelet/pki"},
	{"log", false, add("/var/log/cloud-init-output.log", "x"), "logs", "/var/log/cloud-init-output.log: they tell how it was made"},
	{"journal", false, add("/var/log/journal/0123/system.journal", "x"), "logs", "system.journal"},
	{"shell history", false, add("/home/admin/.bash_history", "x"), "history", "/home/admin/.bash_history: it tells what was typed"},
	{"uploads", false, add("/var/tmp/joinery-bake/files.tar", "x"), "leftovers", "the bake was cut off"},
	{"no modules", false, replace("/etc/modules-load.d/joinery.conf", "\nbr_netfilter", "\n"), "modules", "lacks the line br_netfilter"},
	{"no forwarding", false, replace("/etc/sysctl.d/90-joinery.conf", "ip_forward = 1", "ip_forward = 0"), "sysctls", "net.ipv4.ip_forward = 1: the packets of pods"},
	{"swap", false, add("/etc/fstab", "/swapfile none swap sw 0 0\n"), "swap", "the kubelet refuses to start with it"},
	{"networkd keeps routes", false, replace("/etc/systemd/networkd.conf.d/50-joinery.conf", "Routes=no", "Routes=yes"), "networkd", "remove the routes of pods"},
	{"networkd takes pods' interfaces", false, remove("/etc/systemd/network/05-joinery-pods.network"), "pod-interfaces", "configure the interfaces of pods"},
	{"udev changes pods' addresses", false, replace("/etc/systemd/network/05-joinery-pods.link", "Policy=none", "Policy=persistent"), "pod-addresses", "change the hardware addresses of pods"},
	{"needrestart restarts", false, replace("/etc/needrestart/conf.d/50-joinery.conf", "'l'", "'a'"), "needrestart", "would restart its containers"},
	{"periodic upgrades", false, replace("/etc/apt/apt.conf.d/99-joinery", `Unattended-Upgrade "0"`, `Unattended-Upgrade "1"`), "apt-periodic", "nodes would change their own packages"},
	{"apt's timer runs", false, remove("/etc/systemd/system/apt-daily.timer"), "masked-units", "apt-daily.timer is not masked"},
	{"unattended upgrades run", false, remove("/etc/systemd/system/unattended-upgrades.service"), "masked-units", "unattended-upgrades.service is not masked"},
	{"kubelet not held", false, replace("/var/lib/dpkg/status", "Package: kubelet\nStatus: hold", "Package: kubelet\nStatus: install"), "held-packages", "package kubelet is not held"},
	{"another kubelet", false, replace("/var/lib/dpkg/status", "Package: kubelet\nStatus: hold ok installed\nVersion: 1.37.2-1.1", "Package: kubelet\nStatus: hold ok installed\nVersion: 1.36.0-1.1"), "package-versions", "package kubelet is 1.36.0-1.1 where the image was ordered with 1.37.2"},
	{"trusted source", false, add("/etc/apt/sources.list.d/x.list", "deb [trusted=yes] http://x.example /\n"), "signed-sources", "/etc/apt/sources.list.d/x.list tells apt to trust what no one has signed"},
	{"insecure apt", false, add("/etc/apt/apt.conf.d/00x", "APT::Get::AllowUnauthenticated \"true\";\n"), "signed-sources", "/etc/apt/apt.conf.d/00x"},
	{"cgroupfs", false, replace("/etc/containerd/config.toml", "SystemdCgroup = true", "SystemdCgroup = false"), "cgroup-driver", "pods would exceed their limits"},
	{"cgroupfs of containerd 1", true, replace("/etc/containerd/config.toml", "SystemdCgroup = true", ""), "cgroup-driver", "pods would exceed their limits"},
	{"another pause image", true, replace("/etc/containerd/config.toml", "pause:", "other:"), "pause-image", "every pod would pull another one first"},
	{"no crictl configuration", false, remove("/etc/crictl.yaml"), "crictl", "crictl would look for the runtime elsewhere"},
	{"containerd disabled", false, remove("/etc/systemd/system/multi-user.target.wants/containerd.service"), "containerd-enabled", "containerd.service is not enabled"},
	{"containerd without its unit", true, remove("/etc/systemd/system/containerd.service"), "containerd-enabled", "no container would run after a boot"},
	{"changed agent unit", false, replace("/etc/systemd/system/"+systemd.Agent, "NoNewPrivileges=yes", "NoNewPrivileges=no"), "agent-unit", "not the one of this release"},
	{"agent disabled", false, remove("/etc/systemd/system/multi-user.target.wants/" + systemd.Agent), "agent-enabled", "instances would boot and never join"},
	{"containerd masked", false, func(r root) { r.link("/etc/systemd/system/containerd.service", "/dev/null") }, "containerd-enabled", "containerd.service is masked"},
	{"no kubelet drop-in", false, remove("/etc/systemd/system/" + systemd.KubeletDropIn), "kubelet-drop-in", "not the one of this release"},
	{"kubelet enabled", false, func(r root) {
		r.link("/etc/systemd/system/multi-user.target.wants/kubelet.service", "/usr/lib/systemd/system/kubelet.service")
	}, "kubelet-disabled", "the agent enables it"},
	{"kubelet masked", false, func(r root) { r.link("/etc/systemd/system/kubelet.service", "/dev/null") }, "kubelet-unmasked", "no node would come back from a reboot"},
	{"no loopback plugin", false, remove("/opt/cni/bin/loopback"), "cni-plugins", "/opt/cni/bin/loopback is missing"},
	{"no kubeadm", false, remove("/usr/bin/kubeadm"), "programs", "there is no program kubeadm"},
	{"no agent", false, remove("/usr/local/bin/joinery-agent"), "programs", "there is no program joinery-agent"},
	{"no conntrack", false, remove("/usr/sbin/conntrack"), "tools", "there is no program conntrack: kubeadm would refuse to join"},
	{"agent that cannot be run", false, func(r root) { r.must(os.Chmod(r.path("/usr/local/bin/joinery-agent"), 0o644)) }, "programs", "/usr/local/bin/joinery-agent cannot be run"},
	{"agent that others can write", false, func(r root) { r.must(os.Chmod(r.path("/usr/local/bin/joinery-agent"), 0o777)) }, "program-modes", "/usr/local/bin/joinery-agent has mode 0777"},
	{"agent of another architecture", false, func(r root) { r.write("/usr/local/bin/joinery-agent", head("arm64"), 0o755) }, "program-architecture", "is built for arm64, the image is amd64"},
	{"no record", false, remove(check.RecordPath), "record", "does not say which versions the image holds"},
	{"broken record", false, add(check.RecordPath, "{"), "record", "does not say which versions the image holds"},
}

func TestSpoiled(t *testing.T) {
	for _, s := range spoiled {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			o := packaged()
			if s.archives {
				o = archived()
			}
			r := good(t, o, debian12)
			s.spoil(r)
			found := findings(t, r)
			if len(found) != 1 || found[0].Check != s.check || !strings.Contains(found[0].Sentence, s.sentence) {
				t.Errorf("found %q, want %s alone, with %q", found, s.check, s.sentence)
			}
		})
	}
}

// A check that no spoiled image fails may be one that cannot fail.
func TestEveryCheckIsSpoiled(t *testing.T) {
	for _, name := range check.Names() {
		if !slices.ContainsFunc(spoiled, func(s spoiling) bool { return s.check == name }) {
			t.Errorf("no spoiled image fails %s", name)
		}
	}
}
