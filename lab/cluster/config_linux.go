package cluster

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/netip"
	"path"
	"text/template"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/vpc"
)

const (
	// ServiceRange is where the virtual addresses of Services come from.
	ServiceRange = "10.96.0.0/16"
	// apiService is the virtual address of the "kubernetes" Service: the first
	// of ServiceRange.
	apiService = "10.96.0.1:443"
	// APIPort is where API servers listen, and the load balancer in front of them.
	APIPort = 6443
)

// BalancerIP is the address of the load balancer in front of several masters.
var BalancerIP = netip.MustParseAddr(vpc.Gateway)

// Endpoint is where an API server answers that is reached at ip: a master's
// address or BalancerIP.
func Endpoint(ip netip.Addr) string { return netip.AddrPortFrom(ip, APIPort).String() }

// Services says what machines must be told (machine.Options.Services) so that
// pods reach the API server that is reached at ip.
func Services(ip netip.Addr) map[string]string {
	return map[string]string{apiService: Endpoint(ip)}
}

var (
	//go:embed init.yaml.tmpl
	initTemplate string
	//go:embed join.yaml.tmpl
	joinTemplate string
	//go:embed audit-policy.yaml
	auditPolicy []byte
)

// description is what kubeadm is told about the cluster and one master of it.
type description struct {
	Cluster string
	// Kubernetes is its version.
	Kubernetes string
	// Endpoint is where all clients but those on the masters find an API server.
	Endpoint   string
	NodeName   string
	IP         string
	ProviderID string
	CgroupV1   bool
}

func (c *Cluster) description(m Master) description {
	endpoint := Endpoint(c.o.Master.Machine.IP())
	if c.o.Targets != nil {
		endpoint = Endpoint(BalancerIP)
	}
	return description{
		Cluster: c.o.Name, Kubernetes: c.o.Kit.Programs.Kubernetes, Endpoint: endpoint, NodeName: m.NodeName, IP: m.Machine.IP().String(),
		ProviderID: m.ProviderID, CgroupV1: machine.CgroupV1(),
	}
}

// render writes the configuration for kubeadm init, which also kubeadm's other
// commands read that make certificates.
func (d description) render() ([]byte, error) {
	return render(initTemplate, map[string]any{
		"Cluster": d.Cluster, "Endpoint": d.Endpoint, "NodeName": d.NodeName, "IP": d.IP, "ProviderID": d.ProviderID, "CgroupV1": d.CgroupV1,
		"Version": d.Kubernetes, "Repository": image.Repository,
		"PodRange": vpc.PodRange, "ServiceRange": ServiceRange, "Port": APIPort,
		// etcd has no such setting; it is in the image.
		"Parts": []string{"apiServer", "controllerManager", "scheduler"}, "Programs": image.ControlPlanePrograms,
		"AuditPolicy": auditPolicyFile, "AuditLog": auditLog, "AuditLogDir": path.Dir(auditLog),
	})
}

// admission is what lets one more master join.
type admission struct {
	// Token is a bootstrap token, CertificateKey what the certificates in the
	// Secret kubeadm-certs are encrypted with. Both are secret.
	Token, CertificateKey v1alpha1.Secret
}

// renderJoin writes the configuration for kubeadm join --control-plane.
func (d description) renderJoin(a admission) ([]byte, error) {
	return render(joinTemplate, map[string]any{
		"NodeName": d.NodeName, "IP": d.IP, "ProviderID": d.ProviderID, "CgroupV1": d.CgroupV1, "Port": APIPort,
		"Discovery": discoveryConf, "Token": a.Token.Reveal(), "CertificateKey": a.CertificateKey.Reveal(),
	})
}

func render(text string, data map[string]any) ([]byte, error) {
	t, err := template.New("kubeadm").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parse kubeadm configuration: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("write kubeadm configuration: %w", err)
	}
	return out.Bytes(), nil
}
