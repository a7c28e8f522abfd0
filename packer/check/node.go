package check

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/joinery/joinery/systemd"
)

// nodeRules are about what makes an instance a node.
func nodeRules() []rule {
	return []rule{
		{"cgroup-driver", func(i image) (string, error) {
			text, _, err := i.read(runtimeConfig)
			if err != nil || systemdCgroup.MatchString(text) {
				return "", err
			}
			return runtimeConfig + " does not set SystemdCgroup = true: containerd and the kubelet would each keep cgroups of their own, and pods would exceed their limits", nil
		}},
		{"pause-image", func(i image) (string, error) {
			text, _, err := i.read(runtimeConfig)
			if err != nil || i.record.PauseImage == "" {
				return "", err
			}
			if m := sandbox.FindStringSubmatch(text); m == nil || m[1] != i.record.PauseImage {
				return runtimeConfig + " does not name " + i.record.PauseImage + " as the sandbox image: every pod would pull another one first", nil
			}
			return "", nil
		}},
		{"crictl", lines("/etc/crictl.yaml", "crictl would look for the runtime elsewhere", "runtime-endpoint: unix:///run/containerd/containerd.sock")},
		{"containerd-enabled", enabled("containerd.service", "no container would run after a boot")},
		{"agent-unit", unit(systemd.Agent)},
		{"agent-enabled", enabled(systemd.Agent, "instances would boot and never join")},
		{"kubelet-drop-in", unit(systemd.KubeletDropIn)},
		{"kubelet-disabled", func(i image) (string, error) {
			for _, at := range wantedBy("kubelet.service") {
				if target, err := i.link(at); err != nil || target != "" {
					return "kubelet.service is enabled: before the join it would restart every few seconds; the agent enables it", err
				}
			}
			return "", nil
		}},
		{"kubelet-unmasked", func(i image) (string, error) {
			target, err := i.link("/etc/systemd/system/kubelet.service")
			if err == nil && target == "/dev/null" {
				return "kubelet.service is masked: the agent could not enable it, and no node would come back from a reboot", nil
			}
			return "", err
		}},
		{"cni-plugins", func(i image) (string, error) {
			for _, name := range []string{"loopback", "host-local", "bridge", "portmap"} {
				info, err := i.stat(path.Join("/opt/cni/bin", name))
				if err != nil {
					return "", err
				}
				if info == nil || info.Mode().Perm()&0o111 == 0 {
					return "/opt/cni/bin/" + name + " is missing or cannot be run: pods would have no network", nil
				}
			}
			return "", nil
		}},
	}
}

const runtimeConfig = "/etc/containerd/config.toml"

var (
	systemdCgroup = regexp.MustCompile(`(?m)^\s*SystemdCgroup\s*=\s*true\s*$`)
	sandbox       = regexp.MustCompile(`(?m)^\s*(?:sandbox|sandbox_image)\s*=\s*['"]([^'"]*)['"]`)
)

// wantedBy are the links that enable a unit.
func wantedBy(unit string) []string {
	return []string{"/etc/systemd/system/multi-user.target.wants/" + unit, "/etc/systemd/system/default.target.wants/" + unit}
}

func enabled(unit, why string) func(image) (string, error) {
	return func(i image) (string, error) {
		target, err := i.link("/etc/systemd/system/" + unit)
		if err != nil {
			return "", err
		}
		if target == "/dev/null" {
			return unit + " is masked: " + why, nil
		}
		for _, at := range wantedBy(unit) {
			info, err := i.stat(at) // the link must lead to a unit
			if err != nil {
				return "", err
			}
			if info != nil {
				return "", nil
			}
		}
		return unit + " is not enabled: " + why, nil
	}
}

// unit wants that a unit is the one of this release.
func unit(name string) func(image) (string, error) {
	return func(i image) (string, error) {
		want, err := systemd.Unit(name)
		if err != nil {
			return "", err
		}
		file := path.Join("/etc/systemd/system", name)
		text, _, err := i.read(file)
		if err != nil || bytes.Equal(want, []byte(text)) {
			return "", err
		}
		return file + " is not the one of this release: the agent counts on its order and its sandbox", nil
	}
}

// programs are what a node runs, and what operators expect to find on one.
var programs = []string{"containerd", "containerd-shim-runc-v2", "runc", "kubeadm", "kubelet", "kubectl", "crictl", "joinery-agent"}

// tools are the system's programs that kubeadm and kubelet call.
var tools = []string{"conntrack", "ethtool", "ip", "iptables", "mount"}

// searched are the directories of programs, in the order of a unit's PATH.
var searched = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"}

func programRules() []rule {
	return []rule{
		{"programs", func(i image) (string, error) {
			for _, name := range programs {
				file, info, err := i.find(name)
				if err != nil {
					return "", err
				}
				switch {
				case info == nil:
					return "there is no program " + name + " in " + strings.Join(searched, ", ") + ": instances could not become nodes", nil
				case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
					return file + " cannot be run: instances could not become nodes", nil
				}
			}
			return "", nil
		}},
		{"tools", func(i image) (string, error) {
			for _, name := range tools {
				if _, info, err := i.find(name); err != nil {
					return "", err
				} else if info == nil {
					return "there is no program " + name + ": kubeadm would refuse to join, or pods would have no network; a stock machine may lack its package", nil
				}
			}
			return "", nil
		}},
		{"program-modes", func(i image) (string, error) {
			for _, name := range programs {
				file, info, err := i.find(name)
				if err != nil {
					return "", err
				}
				if info != nil && info.Mode().Perm()&0o022 != 0 {
					return fmt.Sprintf("%s has mode %04o: others than root could replace what root runs", file, info.Mode().Perm()), nil
				}
			}
			return "", nil
		}},
		{"program-architecture", func(i image) (string, error) {
			for _, name := range programs {
				file, info, err := i.find(name)
				if err != nil || info == nil {
					return "", err
				}
				arch, err := i.arch(file)
				if err != nil {
					return "", err
				}
				if i.record.Arch != "" && arch != "" && arch != i.record.Arch {
					return file + " is built for " + arch + ", the image is " + i.record.Arch + ": it cannot run", nil
				}
			}
			return "", nil
		}},
	}
}

// find returns the first file of a program's name, nil when there is none.
func (i image) find(name string) (string, fs.FileInfo, error) {
	for _, dir := range searched {
		file := path.Join(dir, name)
		if info, err := i.stat(file); err != nil || info != nil {
			return file, info, err
		}
	}
	return "", nil, nil
}

// arch returns dpkg's name of what an ELF program is built for, empty for other
// programs.
func (i image) arch(file string) (string, error) {
	at, err := i.resolve(file)
	if err != nil {
		return "", err
	}
	f, err := i.fsys.Open(at)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, elfHead)
	n, _ := f.Read(head) // a shorter file is no ELF program
	if n < elfHead || string(head[:4]) != elf.ELFMAG {
		return "", nil
	}
	machine := elf.Machine(uint16(head[18]) | uint16(head[19])<<8) // both architectures are little-endian
	switch machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	}
	return machine.String(), nil
}

// elfHead is the part of an ELF file that names its machine.
const elfHead = 20
