package pack

import (
	"embed"

	"github.com/joinery/joinery/release/program"
	"github.com/joinery/joinery/systemd"
)

//go:embed config
var config embed.FS

// spec is what differs between our packages.
type spec struct {
	program, summary, description string
	// section is that of the manual: 1 for operators, 8 for services.
	section string
	// units are those of package systemd; the services and timers among them are stopped
	// and disabled when the package goes.
	units []string
	// config are files of config/, for /etc/joinery.
	config []string
	// private are directories that root alone may enter, and what is in them.
	private []string
	// state is what purging removes beyond the package's own files.
	state []string
	// suggests are packages that the program works with and operators choose.
	suggests []string
	// links are link -> target.
	links map[string]string
	// manifests reports whether deploy/ comes with it.
	manifests bool
}

func specs() []spec {
	return []spec{
		{
			program: program.Agent, section: "8",
			summary:     "make EC2 instances nodes of their kubeadm cluster",
			description: "For machine images. The agent finds out which instance it runs on, proves it,\njoins the cluster with kubeadm, and reports when its node may go.",
			units:       systemd.AgentUnits(),
			config:      []string{"agent.env"},
			state:       []string{"/var/lib/joinery", "/run/joinery"},
			suggests:    []string{"containerd", "kubeadm", "kubelet"},
		},
		{
			program: program.Controller, section: "8",
			summary:     "join, size and clean up the nodes of a kubeadm cluster on EC2",
			description: "For control-plane nodes. The controller publishes join tokens, approves the\nrequests of instances that prove who they are, and sizes Auto Scaling groups.",
			units:       []string{systemd.Controller, systemd.Credentials, systemd.CredentialsTimer},
			config:      []string{"controller.env", "controller.yaml"},
			private:     []string{"/etc/joinery/private"},
			state:       []string{"/etc/joinery/private"},
		},
		{
			program: program.Operator, section: "1",
			summary:     "operate a cluster whose nodes Joinery joins",
			description: "For operators, and as the plugin kubectl-joinery. It says what is unsafe and how\nto fix it, adopts nodes and rotates join tokens. With the manifests of deploy/.",
			links:       map[string]string{"/usr/bin/kubectl-joinery": "joinery"},
			manifests:   true,
		},
	}
}
