package check

import (
	"fmt"
	"regexp"
	"strings"
)

// systemRules are about the operating system's settings.
func systemRules() []rule {
	return []rule{
		{"modules", lines("/etc/modules-load.d/joinery.conf", "pods would have no file system, or their packets would pass iptables by", "overlay", "br_netfilter")},
		{"sysctls", lines("/etc/sysctl.d/90-joinery.conf", "the packets of pods would not be forwarded or filtered",
			"net.ipv4.ip_forward = 1", "net.bridge.bridge-nf-call-iptables = 1", "net.bridge.bridge-nf-call-ip6tables = 1")},
		{"swap", swap},
		{"networkd", lines("/etc/systemd/networkd.conf.d/50-joinery.conf", "systemd-networkd would remove the routes of pods when it restarts",
			"ManageForeignRoutes=no", "ManageForeignRoutingPolicyRules=no")},
		{"pod-interfaces", lines("/etc/systemd/network/05-joinery-pods.network", "systemd-networkd would configure the interfaces of pods as its own", "Unmanaged=yes")},
		{"pod-addresses", lines("/etc/systemd/network/05-joinery-pods.link", "udev would change the hardware addresses of pods after they were told them", "MACAddressPolicy=none")},
		{"needrestart", lines("/etc/needrestart/conf.d/50-joinery.conf", "a package that is installed on a node would restart its containers", "$nrconf{restart} = 'l';")},
		{"apt-periodic", lines("/etc/apt/apt.conf.d/99-joinery", "nodes would change their own packages",
			`APT::Periodic::Enable "0";`, `APT::Periodic::Unattended-Upgrade "0";`)},
		{"masked-units", func(i image) (string, error) {
			for _, unit := range i.record.Masked {
				target, err := i.link("/etc/systemd/system/" + unit)
				if err != nil {
					return "", err
				}
				if target != "/dev/null" {
					return unit + " is not masked: it would hold the package lock or restart services while an instance joins", nil
				}
			}
			return "", nil
		}},
	}
}

func swap(i image) (string, error) {
	text, _, err := i.read("/etc/fstab")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) > 2 && !strings.HasPrefix(f[0], "#") && f[2] == "swap" {
			return "/etc/fstab turns swap on: the kubelet refuses to start with it", nil
		}
	}
	return "", nil
}

// packageRules are about where packages come from and whether they stay.
func packageRules() []rule {
	return []rule{
		{"held-packages", func(i image) (string, error) {
			status, err := i.packages()
			if err != nil {
				return "", err
			}
			for _, name := range i.record.Held {
				if p := status[name]; !strings.HasPrefix(p.status, "hold ") {
					return "package " + name + " is not held: an upgrade of the system would change its version on some nodes", nil
				}
			}
			return "", nil
		}},
		{"package-versions", func(i image) (string, error) {
			status, err := i.packages()
			if err != nil {
				return "", err
			}
			for _, name := range []string{"kubeadm", "kubelet", "kubectl"} {
				p, ok := status[name]
				if want := i.record.KubernetesVersion; ok && want != "" && !strings.HasPrefix(p.version, want+"-") {
					return fmt.Sprintf("package %s is %s where the image was ordered with %s: nodes would join with a version that no one has tested", name, p.version, want), nil
				}
			}
			return "", nil
		}},
		{"signed-sources", signedSources},
	}
}

// installed is a package as dpkg knows it.
type installed struct{ version, status string }

// packages reads dpkg's database: name -> package.
func (i image) packages() (map[string]installed, error) {
	text, _, err := i.read("/var/lib/dpkg/status")
	if err != nil {
		return nil, err
	}
	all, name, now := map[string]installed{}, "", installed{}
	for line := range strings.Lines(text + "\n") {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.TrimSpace(line) == "":
			if name != "" {
				all[name] = now
			}
			name, now = "", installed{}
		case line[0] == ' ':
		case key == "Package":
			name = value
		case key == "Status":
			now.status = value
		case key == "Version":
			now.version = value
		}
	}
	return all, nil
}

// unsigned are the words by which apt is told to trust what no one has signed.
var unsigned = regexp.MustCompile(`(?im)^[^#]*(trusted\s*[=:]\s*yes|allow-insecure\s*[=:]\s*yes|allow-weak\s*[=:]\s*yes|AllowUnauthenticated\s+"?(true|1|yes)|AllowInsecureRepositories\s+"?(true|1|yes))`)

func signedSources(i image) (string, error) {
	found, err := i.glob("/etc/apt/sources.list", "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*")
	if err != nil {
		return "", err
	}
	for _, file := range found {
		text, _, err := i.read(file)
		if err != nil {
			return "", err
		}
		if word := unsigned.FindString(text); word != "" {
			return file + " tells apt to trust what no one has signed: whoever is between a node and the repository could install programs on it", nil
		}
	}
	return "", nil
}
