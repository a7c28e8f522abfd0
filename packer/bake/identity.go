package bake

import (
	"github.com/joinery/joinery/packer/check"
)

// staging is the directory of uploads on the machine. It is gone from the image.
const staging = "/var/tmp/joinery-bake"

func (p planner) record() (Step, error) {
	held, _ := p.wanted()
	data, err := check.Record{
		System: p.system.ID + " " + p.system.Version, Arch: p.system.Arch,
		KubernetesVersion: p.o.KubernetesVersion, ContainerdVersion: p.o.ContainerdVersion, PauseImage: p.o.PauseImage,
		Held: held, Masked: p.system.MaskedUnits(),
	}.Encode()
	if err != nil {
		return Step{}, err
	}
	return Step{
		Name:    "record",
		Reason:  "operators and joinery doctor read from an image what it holds",
		Actions: []Action{Write{Path: check.RecordPath, Data: data, Mode: 0o644}},
	}, nil
}

// identity removes what two instances of one image must not share and what the
// bake itself has left. It is the last step: the temporary key by which a
// provisioner logs in goes with it.
func (p planner) identity() (Step, error) {
	return Step{
		Name:   "identity",
		Reason: "instances of one image must not share keys, names or state, and must not tell how it was made",
		Actions: []Action{
			// The machine is shut down before its disk becomes an image. journald would
			// begin a journal again then, and these units would save a random seed and
			// note the shutdown. Not every release has both.
			Run{Command: "if [ -S /run/systemd/journal/io.systemd.journal ]; then journalctl --relinquish-var; fi"},
			Run{Command: "systemctl stop systemd-random-seed.service systemd-update-utmp.service 2>/dev/null || true"},
			Remove{Patterns: []string{
				// ssh host keys and who may log in: cloud-init makes and fetches them.
				"/etc/ssh/ssh_host_*", "/root/.ssh", "/home/*/.ssh/authorized_keys*", "/home/*/.ssh/known_hosts*",
				// A random seed or a sealing key that two instances share is none.
				"/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret", "/loader/random-seed",
				// The machine's name, its leases, and the configuration that cloud-init
				// wrote for the one network card of the machine that was baked.
				"/etc/hostname", "/var/lib/dhcp/*", "/var/lib/NetworkManager/*", "/var/lib/systemd/network/*",
				"/etc/netplan/50-cloud-init.yaml", "/etc/network/interfaces.d/50-cloud-init", "/etc/udev/rules.d/70-persistent-net.rules",
				"/var/lib/cloud/*",
				// A node's own state, if the machine has been one.
				"/var/lib/joinery", "/var/lib/kubelet/*", "/etc/kubernetes/*.conf", "/etc/kubernetes/pki", "/etc/kubernetes/manifests/*",
				// Credentials and histories of those who baked it.
				"/root/.aws", "/home/*/.aws", "/root/.*_history", "/home/*/.*_history", "/root/.lesshst", "/home/*/.lesshst",
				"/root/.viminfo", "/home/*/.viminfo", "/root/.wget-hsts", "/home/*/.wget-hsts", "/root/.cache", "/home/*/.cache",
				// What was downloaded and unpacked.
				"/var/lib/apt/lists/*", "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin", "/tmp/*", "/var/tmp/*",
				"/var/log/journal/*", "/var/log/*.gz", "/var/log/*.[0-9]", "/var/log/*/*.gz", "/var/lib/dbus/machine-id",
			}},
			Empty{Dir: "/var/log"},
			// Empty rather than missing: without the file systemd takes the boot for the
			// first one ever and applies its presets, which would enable the kubelet.
			Write{Path: "/etc/machine-id", Mode: 0o444},
		},
	}, nil
}
