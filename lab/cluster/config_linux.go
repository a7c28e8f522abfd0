package cluster

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/netip"
	"text/template"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/vpc"
)

const (
	// ServiceRange is where the virtual addresses of Services come from.
	ServiceRange = "10.96.0.0/16"
	// apiService is the virtual address of the "kubernetes" Service: the first
	// of ServiceRange.
	apiService = "10.96.0.1:443"
	apiPort    = 6443
)

// Endpoint is where the API server of a master with address ip answers.
func Endpoint(ip netip.Addr) string { return netip.AddrPortFrom(ip, apiPort).String() }

// Services says what machines must be told (machine.Options.Services) so that
// pods reach the API server of a master with address ip.
func Services(ip netip.Addr) map[string]string {
	return map[string]string{apiService: Endpoint(ip)}
}

//go:embed init.yaml.tmpl
var initTemplate string

// initConfig is what kubeadm is told about the first master.
type initConfig struct {
	Cluster    string
	NodeName   string
	IP         string
	ProviderID string
	CgroupV1   bool
}

// render writes the configuration as kubeadm reads it.
func (c initConfig) render() ([]byte, error) {
	t, err := template.New("init").Option("missingkey=error").Parse(initTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse kubeadm configuration: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Cluster": c.Cluster, "NodeName": c.NodeName, "IP": c.IP, "ProviderID": c.ProviderID, "CgroupV1": c.CgroupV1,
		"Version": binaries.KubernetesVersion, "Repository": image.Repository,
		"PodRange": vpc.PodRange, "ServiceRange": ServiceRange, "Port": apiPort,
		// etcd has no such setting; it is in the image.
		"Parts": []string{"apiServer", "controllerManager", "scheduler"}, "Programs": image.ControlPlanePrograms,
	})
	if err != nil {
		return nil, fmt.Errorf("write kubeadm configuration: %w", err)
	}
	return out.Bytes(), nil
}
