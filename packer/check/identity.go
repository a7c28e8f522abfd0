package check

import (
	"io/fs"
	"strings"
)

// identityRules are about what two instances of an image must not share.
func identityRules() []rule {
	return []rule{
		{"machine-id", func(i image) (string, error) {
			text, absent, err := i.read("/etc/machine-id")
			switch {
			case err != nil:
				return "", err
			case absent:
				return "/etc/machine-id is missing: systemd would take each boot for a first one and enable the kubelet; it must exist and be empty", nil
			case strings.TrimSpace(text) != "":
				return "/etc/machine-id is not empty: all instances would be the same machine to journald, DHCP and Kubernetes", nil
			}
			return "", nil
		}},
		{"dbus-machine-id", func(i image) (string, error) {
			const file = "/var/lib/dbus/machine-id"
			target, err := i.link(file)
			if err != nil || target == "/etc/machine-id" {
				return "", err
			}
			if info, err := i.stat(file); err != nil || info == nil {
				return "", err
			}
			return file + " is a file of its own: all instances would be the same machine on D-Bus", nil
		}},
		{"host-keys", none("whoever has the image could pose as every instance of it; cloud-init makes a key for each", "/etc/ssh/ssh_host_*")},
		{"authorized-keys", none("the holder of that key could log in to every instance", "/root/.ssh/authorized_keys*", "/home/*/.ssh/authorized_keys*")},
		{"credentials", none("every instance, and all who may launch one, would have these credentials", "/root/.aws", "/home/*/.aws", "/root/.docker/config.json", "/home/*/.docker/config.json", "/root/.kube", "/home/*/.kube")},
		{"random-seed", none("instances that share it begin with the same random numbers", "/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/loader/random-seed")},
		{"network-identity", none("it describes the network card of the machine that was baked, which no instance has", "/var/lib/dhcp/*.lease*", "/etc/netplan/50-cloud-init.yaml", "/etc/network/interfaces.d/50-cloud-init", "/etc/udev/rules.d/70-persistent-net.rules")},
		{"hostname", func(i image) (string, error) {
			text, _, err := i.read("/etc/hostname")
			if name := strings.TrimSpace(text); err != nil || name == "" || name == "localhost" {
				return "", err
			}
			return "/etc/hostname names the machine that was baked: instances would bear its name until the agent sets theirs", nil
		}},
		{"cloud-init", none("cloud-init would take an instance for the machine that was baked and leave out what it does once", "/var/lib/cloud/*")},
		{"agent-state", none("the agent would begin with the state of another instance", "/var/lib/joinery/*")},
		{"kubelet-state", none("the kubelet would come up as another node", "/var/lib/kubelet/pki", "/var/lib/kubelet/config.yaml", "/var/lib/kubelet/kubeadm-flags.env",
			"/etc/kubernetes/*.conf", "/etc/kubernetes/pki/*", "/etc/kubernetes/manifests/*")},
	}
}

// traceRules are about what the bake has left.
func traceRules() []rule {
	return []rule{
		{"logs", func(i image) (string, error) {
			found, err := i.written("/var/log")
			if err != nil || len(found) == 0 {
				return "", err
			}
			return "the image holds the logs " + list(found) + ": they tell how it was made, and every instance would ship them as its own", nil
		}},
		{"history", none("it tells what was typed while the image was made, with the secrets among it", "/root/.*_history", "/home/*/.*_history")},
		{"leftovers", none("the bake was cut off or did not clean up after itself", "/var/tmp/joinery-bake*", "/var/cache/apt/archives/*.deb")},
	}
}

// written returns the files below dir that are not empty.
func (i image) written(dir string) ([]string, error) {
	at, err := i.resolve(dir)
	if err != nil {
		return nil, err
	}
	if info, err := i.stat(dir); err != nil || info == nil {
		return nil, err
	}
	var found []string
	err = fs.WalkDir(i.fsys, at, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > 0 {
			found = append(found, "/"+name)
		}
		return err
	})
	return found, err
}
