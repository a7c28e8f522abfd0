// Package systemd holds the units that Joinery is shipped with, for those who
// install it: the packer provisioner, packages and the lab.
package systemd

import (
	"embed"
	"fmt"
)

//go:embed *.service *.timer kubelet.service.d/*.conf
var units embed.FS

// The units, by their paths below systemd's unit directory (such as
// /etc/systemd/system). KubeletDropIn lies in a directory of its own.
const (
	Agent         = "joinery-agent.service"
	Controller    = "joinery-controller.service"
	KubeletDropIn = "kubelet.service.d/20-joinery.conf"
	// Credentials gives the controller its client certificate, and
	// CredentialsTimer renews it.
	Credentials      = "joinery-credentials.service"
	CredentialsTimer = "joinery-credentials.timer"
)

// Names returns the paths of all units, sorted.
func Names() []string {
	return []string{Agent, Controller, Credentials, CredentialsTimer, KubeletDropIn}
}

// AgentUnits returns the paths of the units that every node has, by a package or by
// its image.
func AgentUnits() []string { return []string{Agent, KubeletDropIn} }

// Unit returns the content of a unit; a name that Names does not give is an
// error.
func Unit(name string) ([]byte, error) {
	data, err := units.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("systemd unit %s: %w", name, err)
	}
	return data, nil
}

// Maintenance returns what Debian and its like run soon after a boot. It holds the
// package lock, fills disk and CPU, and may restart containerd in the middle of a
// join. An image has these units masked; the agent masks them where it finds them.
func Maintenance() []string {
	return []string{
		"apt-daily.timer", "apt-daily.service", "apt-daily-upgrade.timer", "apt-daily-upgrade.service", "unattended-upgrades.service",
	}
}
