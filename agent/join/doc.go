// Package join makes a machine a node: it fetches the join bundle from SSM,
// asks the cluster for a short-lived certificate of its own name, runs kubeadm
// join with that certificate and the pinned CA, and checks that the Node is
// there. A bootstrap token is worth only the request, and the request only with the
// proof of being the instance that it names; the token is sent to the API server
// and never written to disk or put on a command line.
package join

import (
	"fmt"
	"path/filepath"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
)

// Node is what is joined.
type Node struct {
	// Name of the Node and host name of the machine.
	Name string
	// ProviderID of the Node.
	ProviderID string
	// Facts about the instance.
	Facts identity.Facts
	// Spec is what the operator wants.
	Spec v1alpha1.NodeConfigSpec
}

// NewNode returns the Node for an instance and its NodeConfig.
func NewNode(f identity.Facts, c *v1alpha1.NodeConfig) (Node, error) {
	name, err := identity.NodeName(f, c.Spec.NodeName.Mode)
	if err != nil {
		return Node{}, fmt.Errorf("name the node: %w", err)
	}
	id, err := identity.ProviderID(f)
	if err != nil {
		return Node{}, fmt.Errorf("name the node: %w", err)
	}
	return Node{Name: name, ProviderID: id, Facts: f, Spec: c.Spec}, nil
}

// KubeletUnit is the unit of the kubelet, as kubeadm wants it named.
const KubeletUnit = "kubelet.service"

// Paths says where things are; DefaultPaths is where kubeadm puts them.
type Paths struct {
	// Kubernetes is /etc/kubernetes.
	Kubernetes string
	// Kubelet is /var/lib/kubelet.
	Kubelet string
	// Run is the agent's runtime directory, on tmpfs.
	Run string
	// Kubeadm is the program.
	Kubeadm string
	// IPForward is the sysctl net.ipv4.ip_forward.
	IPForward string
}

// DefaultPaths returns the paths of a kubeadm node.
func DefaultPaths() Paths {
	return Paths{
		Kubernetes: "/etc/kubernetes", Kubelet: "/var/lib/kubelet", Run: "/run/joinery",
		Kubeadm: "kubeadm", IPForward: "/proc/sys/net/ipv4/ip_forward",
	}
}

// KubeletConfig is the kubelet's own kubeconfig.
func (p Paths) KubeletConfig() string { return filepath.Join(p.Kubernetes, "kubelet.conf") }

func (p Paths) bootstrapConfig() string {
	return filepath.Join(p.Kubernetes, "bootstrap-kubelet.conf")
}
func (p Paths) ca() string { return filepath.Join(p.Kubernetes, "pki", "ca.crt") }
func (p Paths) clientPEM() string {
	return filepath.Join(p.Kubelet, "pki", "kubelet-client-current.pem")
}
func (p Paths) key() string        { return filepath.Join(p.Run, "node.key") }
func (p Paths) discovery() string  { return filepath.Join(p.Run, "discovery.conf") }
func (p Paths) joinConfig() string { return filepath.Join(p.Run, "join.yaml") }
func (p Paths) patches() string    { return filepath.Join(p.Run, "patches") }
func (p Paths) kubeletPatch() string {
	return filepath.Join(p.patches(), "kubeletconfiguration0+merge.yaml")
}
