// Package rbac holds the objects that Joinery needs in the API server: what a
// bootstrap token's group may do, and how much of it, and what the controller may do. The manifests
// are embedded so that every installation applies the very same ones.
//
// Nodes need nothing here: joining with file discovery and a node's client
// certificate reads kubeadm-config, kubelet-config and the own Node, which
// kubeadm and Kubernetes allow system:nodes; kube-public/cluster-info and the
// kube-proxy ConfigMap are refused to them and kubeadm 1.37 tolerates that
// (cmd/kubeadm/app/discovery/file, app/componentconfigs).
package rbac

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
)

//go:embed *.yaml
var manifests embed.FS

//go:embed optional/legacy/legacy.yaml
var legacy []byte

// LegacyBinding is the ClusterRoleBinding by which an operator gives the tokens for
// legacy user data what they need.
const LegacyBinding = "joinery:legacy-bootstrap"

// Legacy returns the manifests for the tokens for legacy user data as one YAML
// stream. They are applied during a migration only.
func Legacy() []byte { return bytes.Clone(legacy) }

// Manifests returns all manifests as one YAML stream, in the order of their
// file names.
func Manifests() ([]byte, error) {
	names, err := fs.Glob(manifests, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list manifests: %w", err)
	}
	var all []byte
	for _, n := range names {
		text, err := manifests.ReadFile(n)
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		all = append(append(all, "---\n"...), text...)
	}
	return all, nil
}
