package bake

import (
	"fmt"
	"slices"
	"strings"
)

// System is the operating system of a machine.
type System struct {
	// ID and Version are those of os-release(5), Arch is dpkg's name.
	ID, Version, Arch string
}

// String implements fmt.Stringer.
func (s System) String() string { return s.ID + " " + s.Version + " " + s.Arch }

// flavor is how one release differs from the others.
type flavor struct {
	id, version string
	// packages are what kubeadm and kubelet call and what a stock machine may lack.
	packages []string
	// masked are units of this release that change packages or restart services on
	// their own.
	masked []string
}

// tools are the same in all releases.
var tools = []string{"ca-certificates", "conntrack", "ethtool", "iproute2", "iptables", "kmod", "libseccomp2", "mount", "util-linux"}

// ubuntuMasked are timers and services that Ubuntu has and Debian has not. snapd
// refreshes snaps at a time of its own choice.
var ubuntuMasked = []string{
	"motd-news.timer", "snapd.refresh.timer", "snapd.snap-repair.timer", "ua-timer.timer",
	"update-notifier-download.timer", "update-notifier-motd.timer",
}

var flavors = []flavor{
	{id: "debian", version: "12", packages: tools},
	{id: "debian", version: "13", packages: tools},
	{id: "ubuntu", version: "22.04", packages: tools, masked: ubuntuMasked},
	{id: "ubuntu", version: "24.04", packages: tools, masked: ubuntuMasked},
}

// Systems returns the releases that can be baked.
func Systems() []string {
	var names []string
	for _, f := range flavors {
		names = append(names, f.id+" "+f.version)
	}
	return names
}

// ParseSystem reads a machine's /etc/os-release and what dpkg
// --print-architecture printed. A system that cannot be baked is an error.
func ParseSystem(osRelease, arch string) (System, error) {
	fields := map[string]string{}
	for line := range strings.Lines(osRelease) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[k] = strings.Trim(v, `"'`)
		}
	}
	s := System{ID: fields["ID"], Version: fields["VERSION_ID"], Arch: strings.TrimSpace(arch)}
	if _, err := s.flavor(); err != nil {
		return System{}, err
	}
	if !slices.Contains([]string{"amd64", "arm64"}, s.Arch) {
		return System{}, fmt.Errorf("recognize machine: architecture %q: want amd64 or arm64", s.Arch)
	}
	return s, nil
}

func (s System) flavor() (flavor, error) {
	for _, f := range flavors {
		if f.id == s.ID && f.version == s.Version {
			return f, nil
		}
	}
	return flavor{}, fmt.Errorf("recognize machine: its system is %q %q: want one of %s", s.ID, s.Version, strings.Join(Systems(), ", "))
}
