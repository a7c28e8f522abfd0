package join

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
)

// DiscoveryConfig returns the kubeconfig by which kubeadm finds and trusts the
// cluster: the pinned CA and the short-lived certificate, no token. Its context
// names a user: kubeadm refuses a discovery file without.
func DiscoveryConfig(b *v1alpha1.JoinBundle, c Certificate) ([]byte, error) {
	k := clientcmdapi.NewConfig()
	k.Clusters["joinery"] = &clientcmdapi.Cluster{Server: "https://" + b.Endpoint, CertificateAuthorityData: []byte(b.CACert)}
	k.AuthInfos["node"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.Certificate, ClientKeyData: []byte(c.Key.Reveal())}
	k.Contexts["node@joinery"] = &clientcmdapi.Context{Cluster: "joinery", AuthInfo: "node"}
	k.CurrentContext = "node@joinery"
	data, err := clientcmd.Write(*k)
	if err != nil {
		return nil, fmt.Errorf("encode discovery kubeconfig: %w", err)
	}
	return data, nil
}

// The parts of a JoinConfiguration that the agent writes (kubeadm.k8s.io/v1beta4,
// Kubernetes 1.31 and later).
type (
	joinConfiguration struct {
		APIVersion       string           `json:"apiVersion"`
		Kind             string           `json:"kind"`
		Discovery        discovery        `json:"discovery"`
		NodeRegistration nodeRegistration `json:"nodeRegistration"`
		Patches          patches          `json:"patches"`
		Timeouts         timeouts         `json:"timeouts"`
	}
	discovery struct {
		File discoveryFile `json:"file"`
	}
	discoveryFile struct {
		KubeConfigPath string `json:"kubeConfigPath"`
	}
	nodeRegistration struct {
		Name                  string         `json:"name"`
		CRISocket             string         `json:"criSocket"`
		Taints                []corev1.Taint `json:"taints"`
		KubeletExtraArgs      []arg          `json:"kubeletExtraArgs"`
		IgnorePreflightErrors []string       `json:"ignorePreflightErrors,omitempty"`
	}
	arg struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	patches struct {
		Directory string `json:"directory"`
	}
	timeouts struct {
		Discovery          string `json:"discovery"`
		KubeletHealthCheck string `json:"kubeletHealthCheck"`
		TLSBootstrap       string `json:"tlsBootstrap"`
	}
)

// containerdSocket is where containerd serves the CRI by default.
const containerdSocket = "unix:///run/containerd/containerd.sock"

// JoinConfiguration returns what kubeadm join is run with. It holds no secret:
// the credentials are in the discovery file.
func JoinConfiguration(p Paths, n Node) ([]byte, error) {
	c := joinConfiguration{
		APIVersion: "kubeadm.k8s.io/v1beta4", Kind: "JoinConfiguration",
		Discovery: discovery{File: discoveryFile{KubeConfigPath: p.discovery()}},
		NodeRegistration: nodeRegistration{
			Name: n.Name, CRISocket: containerdSocket, Taints: n.Spec.Taints, KubeletExtraArgs: kubeletArgs(n),
			IgnorePreflightErrors: n.Spec.Kubeadm.IgnorePreflightErrors,
		},
		// With file discovery an API server that is not there is the only thing
		// to wait for, and the agent tries again by itself with a fresh bundle.
		Patches:  patches{Directory: p.patches()},
		Timeouts: timeouts{Discovery: "1m0s", KubeletHealthCheck: "4m0s", TLSBootstrap: "5m0s"},
	}
	if c.NodeRegistration.Taints == nil {
		c.NodeRegistration.Taints = []corev1.Taint{}
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode JoinConfiguration: %w", err)
	}
	return data, nil
}

// kubeletArgs returns the flags of the kubelet, sorted, so that one node gives
// one file.
func kubeletArgs(n Node) []arg {
	labels := nodeLabels(n)
	pairs := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, k+"="+labels[k])
	}
	return []arg{{"node-ip", n.Facts.PrivateIP}, {"node-labels", strings.Join(pairs, ",")}, {"provider-id", n.ProviderID}}
}

// nodeLabels are the operator's labels and those that tell where and what the
// instance is. A cloud controller manager would set the latter, if there is
// one, and only after a while; the planner counts on them from the start. Labels
// that a kubelet may not set are the controller's to set: with one of them the
// API server would refuse the Node.
func nodeLabels(n Node) map[string]string {
	labels := map[string]string{
		corev1.LabelInstanceTypeStable: n.Facts.InstanceType,
		corev1.LabelTopologyRegion:     n.Facts.Region,
		corev1.LabelTopologyZone:       n.Facts.Zone,
	}
	for key, value := range n.Spec.Labels {
		if v1alpha1.KubeletMaySet(key) {
			labels[key] = value
		}
	}
	return labels
}

// KubeletPatch returns what is merged into the cluster's KubeletConfiguration
// for this node (RFC 7386). Unless the operator wants it otherwise, the kubelet
// has its serving certificate signed by the cluster too, for the controller to
// approve: with one that it signs itself nobody can tell it from an impostor.
func KubeletPatch(s v1alpha1.KubeletSettings) ([]byte, error) {
	patch := map[string]any{"serverTLSBootstrap": true}
	maps.Copy(patch, s)
	data, err := yaml.Marshal(patch)
	if err != nil {
		return nil, fmt.Errorf("encode kubelet settings: %w", err)
	}
	return data, nil
}
