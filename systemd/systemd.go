// Package systemd holds the units that Joinery is shipped with, for those who
// install it: the packer provisioner, packages and the lab.
package systemd

import (
	"embed"
	"fmt"
)

//go:embed *.service kubelet.service.d/*.conf
var units embed.FS

// The units, by their paths below systemd's unit directory (such as
// /etc/systemd/system). KubeletDropIn lies in a directory of its own.
const (
	Agent         = "joinery-agent.service"
	Controller    = "joinery-controller.service"
	KubeletDropIn = "kubelet.service.d/20-joinery.conf"
)

// Names returns the paths of all units, sorted.
func Names() []string { return []string{Agent, Controller, KubeletDropIn} }

// Unit returns the content of a unit; a name that Names does not give is an
// error.
func Unit(name string) ([]byte, error) {
	data, err := units.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("systemd unit %s: %w", name, err)
	}
	return data, nil
}
