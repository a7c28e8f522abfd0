package bake

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"strings"

	"github.com/joinery/joinery/systemd"
)

//go:embed files
var files embed.FS

// Inputs are what a plan takes from files on the operator's side.
type Inputs struct {
	// Keyrings maps a repository's name to its pinned key, binary and alone.
	Keyrings map[string][]byte
	// Packages are the base names of the offline directory's packages, sorted.
	Packages []string
}

// planner makes one plan.
type planner struct {
	o      Options
	in     Inputs
	system System
	flavor flavor
}

// New makes the plan for a machine of the given system. It does no I/O; the same
// input gives the same plan. Options with problems are an error.
func New(o Options, in Inputs, system System) (Plan, error) {
	if err := o.Problems().Err(); err != nil {
		return Plan{}, err
	}
	flavor, err := system.flavor()
	if err != nil {
		return Plan{}, err
	}
	p := planner{o: o.complete(), in: in, system: system, flavor: flavor}
	plan := Plan{System: system}
	for _, step := range []func() (Step, error){
		p.quiet, p.sources, p.packages, p.kernel, p.network, p.runtime, p.kubernetes, p.agent, p.images, p.record, p.identity,
	} {
		s, err := step()
		if err != nil {
			return Plan{}, fmt.Errorf("plan image: %w", err)
		}
		if len(s.Actions) > 0 {
			plan.Steps = append(plan.Steps, s)
		}
	}
	return plan, nil
}

// write puts an embedded file at a path of the machine.
func write(to, name string) Write {
	data, err := files.ReadFile("files/" + name)
	if err != nil {
		panic(err) // embedded: a name that does not exist fails every test
	}
	return Write{Path: to, Data: data, Mode: 0o644}
}

// MaskedUnits returns the units that are masked on a system.
func (s System) MaskedUnits() []string {
	f, err := s.flavor()
	if err != nil {
		return nil
	}
	return append(systemd.Maintenance(), f.masked...)
}

func (p planner) quiet() (Step, error) {
	return Step{
		Name:   "quiet",
		Reason: "package timers hold the package lock while an instance boots, and restart containerd in the middle of a join",
		Actions: []Action{
			// cloud-init may still install what the machine's user data asks for.
			Run{Command: "if command -v cloud-init >/dev/null; then cloud-init status --wait >/dev/null || true; fi"},
			Units{Mask: p.system.MaskedUnits()},
			write("/etc/apt/apt.conf.d/99-joinery", "apt.conf"),
			write("/etc/needrestart/conf.d/50-joinery.conf", "needrestart.conf"),
		},
	}, nil
}

func (p planner) sources() (Step, error) {
	s := Step{Name: "sources", Reason: "packages are installed from repositories whose index the pinned key has signed, and from no others"}
	if p.o.Offline != "" {
		return s, nil
	}
	for _, r := range p.o.Repositories {
		keyring := p.in.Keyrings[r.Name]
		if len(keyring) == 0 {
			return s, fmt.Errorf("repository %s: its key was not read", r.Name)
		}
		ring := "/etc/apt/keyrings/" + r.Name + ".gpg"
		s.Actions = append(s.Actions,
			Write{Path: ring, Data: keyring, Mode: 0o644},
			Write{Path: "/etc/apt/sources.list.d/" + r.Name + ".sources", Data: stanza(r, ring), Mode: 0o644})
	}
	s.Actions = append(s.Actions, Refresh{})
	return s, nil
}

// stanza is a source in the form of sources.list(5). Signed-By binds it to its
// key: no other key that the machine trusts is good for it.
func stanza(r Repository, ring string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Types: deb\nURIs: %s\nSuites: %s\n", r.URL, r.Suite)
	if len(r.Components) > 0 {
		fmt.Fprintf(&b, "Components: %s\n", strings.Join(r.Components, " "))
	}
	fmt.Fprintf(&b, "Signed-By: %s\n", ring)
	return b.Bytes()
}

// wanted are the packages of components that no archive is for, name to version
// pattern; an empty pattern takes what the repository has.
func (p planner) wanted() (names []string, versions map[string]string) {
	versions = map[string]string{}
	add := func(component, name, version string) {
		if !p.o.fromArchive(component) {
			names, versions[name] = append(names, name), version
		}
	}
	add(ComponentContainerd, p.o.ContainerdPackage, p.o.ContainerdVersion)
	add(ComponentCNI, "kubernetes-cni", "")
	add(ComponentCrictl, "cri-tools", "")
	for _, c := range []string{ComponentKubeadm, ComponentKubelet, ComponentKubectl} {
		add(c, c, p.o.KubernetesVersion)
	}
	return names, versions
}

func (p planner) packages() (Step, error) {
	s := Step{Name: "packages", Reason: "kubeadm and kubelet call these programs; a held package keeps the version that the image was tested with"}
	if p.o.Offline != "" {
		if len(p.in.Packages) > 0 {
			s.Actions = append(s.Actions, InstallFiles{Files: p.in.Packages})
		}
	} else {
		install := append([]string(nil), p.flavor.packages...)
		names, versions := p.wanted()
		for _, name := range names {
			if v := versions[name]; v != "" {
				name += "=" + v + "-*" // the packager's own revision
			}
			install = append(install, name)
		}
		s.Actions = append(s.Actions, Install{Packages: install})
	}
	if names, _ := p.wanted(); len(names) > 0 {
		s.Actions = append(s.Actions, Hold{Packages: names})
	}
	return s, nil
}

func (p planner) kernel() (Step, error) {
	return Step{
		Name:   "kernel",
		Reason: "pods' packets are forwarded and filtered only with these modules and settings",
		Actions: []Action{
			write("/etc/modules-load.d/joinery.conf", "modules.conf"),
			write("/etc/sysctl.d/90-joinery.conf", "sysctl.conf"),
		},
	}, nil
}

func (p planner) network() (Step, error) {
	return Step{
		Name:   "network",
		Reason: "systemd-networkd and udev would change the interfaces and routes that the CNI plugin makes",
		Actions: []Action{
			write("/etc/systemd/networkd.conf.d/50-joinery.conf", "networkd.conf"),
			write("/etc/systemd/network/05-joinery-pods.network", "pods.network"),
			write("/etc/systemd/network/05-joinery-pods.link", "pods.link"),
		},
	}, nil
}

func (p planner) runtime() (Step, error) {
	s := Step{Name: "runtime", Reason: "kubelet runs pods by containerd; both must manage cgroups in the same way"}
	if a, ok := p.o.archive(ComponentContainerd); ok {
		s.Actions = append(s.Actions, Unpack{Archive: a, Dir: "/usr/local"}, write("/etc/systemd/system/containerd.service", "containerd.service"))
	}
	if a, ok := p.o.archive(ComponentRunc); ok {
		s.Actions = append(s.Actions, Place{Archive: a, Path: "/usr/local/sbin/runc"})
	}
	config := write("/etc/containerd/config.toml", "containerd-"+p.o.ContainerdVersion[:1]+".toml")
	config.Data = bytes.ReplaceAll(config.Data, []byte("@PAUSE@"), []byte(p.o.PauseImage))
	s.Actions = append(s.Actions, config)
	if a, ok := p.o.archive(ComponentCNI); ok {
		s.Actions = append(s.Actions, Unpack{Archive: a, Dir: "/opt/cni/bin"})
	}
	if a, ok := p.o.archive(ComponentCrictl); ok {
		s.Actions = append(s.Actions, Unpack{Archive: a, Dir: "/usr/local/bin"})
	}
	s.Actions = append(s.Actions,
		write("/etc/crictl.yaml", "crictl.yaml"),
		Units{Enable: []string{"containerd.service"}},
		Expect{Command: []string{"containerd", "--version"}, Text: p.o.ContainerdVersion})
	return s, nil
}

func (p planner) kubernetes() (Step, error) {
	s := Step{Name: "kubernetes", Reason: "the agent joins by kubeadm and enables the kubelet once the node has joined: earlier it would restart every few seconds and hide what is wrong"}
	for _, c := range []string{ComponentKubeadm, ComponentKubelet, ComponentKubectl} {
		if a, ok := p.o.archive(c); ok {
			s.Actions = append(s.Actions, Place{Archive: a, Path: path.Join("/usr/local/bin", c)})
		}
	}
	if p.o.fromArchive(ComponentKubelet) {
		s.Actions = append(s.Actions,
			write("/etc/systemd/system/kubelet.service", "kubelet.service"),
			write("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "10-kubeadm.conf"))
	}
	v := "v" + p.o.KubernetesVersion
	s.Actions = append(s.Actions,
		Units{Disable: []string{"kubelet.service"}},
		Expect{Command: []string{"kubeadm", "version", "-o", "short"}, Text: v},
		Expect{Command: []string{"kubelet", "--version"}, Text: v},
		Expect{Command: []string{"kubectl", "version", "--client"}, Text: v})
	return s, nil
}

func (p planner) agent() (Step, error) {
	s := Step{Name: "agent", Reason: "joinery-agent makes an instance of the image a node of its cluster"}
	a, _ := p.o.archive(ComponentAgent) // Problems wants one
	s.Actions = append(s.Actions, Place{Archive: a, Path: "/usr/local/bin/joinery-agent"})
	for _, name := range systemd.AgentUnits() {
		text, err := systemd.Unit(name)
		if err != nil {
			return s, err
		}
		s.Actions = append(s.Actions, Write{Path: path.Join("/etc/systemd/system", name), Data: text, Mode: 0o644})
	}
	s.Actions = append(s.Actions, Units{Enable: []string{systemd.Agent}})
	return s, nil
}

func (p planner) images() (Step, error) {
	s := Step{Name: "images", Reason: "the first pods of a node wait for no registry"}
	for _, image := range p.o.Images {
		s.Actions = append(s.Actions, Pull{Image: image})
	}
	for _, a := range p.o.Archives {
		if a.Component == ComponentImages {
			s.Actions = append(s.Actions, Import{Archive: a})
		}
	}
	if len(s.Actions) > 0 {
		s.Actions = append([]Action{Run{Command: "systemctl restart containerd.service"}}, s.Actions...)
		s.Actions = append(s.Actions, Run{Command: "systemctl stop containerd.service"})
	}
	return s, nil
}
