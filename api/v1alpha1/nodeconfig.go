package v1alpha1

import corev1 "k8s.io/api/core/v1"

// KindNodeConfig is the kind of a NodeConfig document.
const KindNodeConfig = "NodeConfig"

// NodeConfig is the user data of an instance: which cluster it joins and how
// its node looks. It holds no secret. The controller reads the same document
// out of the group's launch template to know what a new node will be.
type NodeConfig struct {
	TypeMeta `json:",inline"`
	// Spec is what the operator wants.
	Spec NodeConfigSpec `json:"spec"`
}

// NodeConfigSpec is what the operator wants of a node.
type NodeConfigSpec struct {
	// Cluster is the name of the cluster to join; required. A join bundle of
	// another cluster is refused.
	Cluster string `json:"cluster"`
	// Parameter is the SSM parameter with the join bundle; by default
	// ParameterName(Cluster).
	Parameter string `json:"parameter,omitempty"`
	// NodeName says how the node is named.
	NodeName NodeName `json:"nodeName,omitzero"`
	// Labels of the Node. Kubernetes lets a kubelet set only some labels of the
	// reserved domains (NodeRestriction, KEP-279). Those of
	// node-role.kubernetes.io and node-restriction.kubernetes.io are set by the
	// controller instead, read from the group's launch template, once it knows
	// the node for that group's; others, and those of masters, are refused.
	Labels map[string]string `json:"labels,omitempty"`
	// Taints that the Node registers with.
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Kubelet is merged into the KubeletConfiguration that kubeadm writes,
	// field by field (kubelet.config.k8s.io/v1beta1 names), such as maxPods,
	// kubeReserved or systemReserved.
	Kubelet KubeletSettings `json:"kubelet,omitempty"`
	// Kubeadm holds what kubeadm join itself is told.
	Kubeadm KubeadmSettings `json:"kubeadm,omitzero"`
}

// NodeName says how a node is named.
type NodeName struct {
	// Mode is ip-name, resource-name or instance-id; ip-name by default.
	Mode NodeNameMode `json:"mode,omitempty"`
}

// NodeNameMode is a way of naming nodes, one for each kind of name that EC2
// gives an instance ("Amazon EC2 instance hostname types").
type NodeNameMode string

const (
	// IPName names a node ip-10-0-1-2.<region>.compute.internal, or
	// ip-10-0-1-2.ec2.internal in us-east-1.
	IPName NodeNameMode = "ip-name"
	// ResourceName names a node i-0abc….<region>.compute.internal, or
	// i-0abc….ec2.internal in us-east-1.
	ResourceName NodeNameMode = "resource-name"
	// InstanceIDName names a node by its instance id alone.
	InstanceIDName NodeNameMode = "instance-id"
)

// KubeletSettings are fields of a KubeletConfiguration by their names.
type KubeletSettings map[string]any

// KubeadmSettings is what kubeadm join itself is told.
type KubeadmSettings struct {
	// IgnorePreflightErrors lists kubeadm checks whose errors become warnings,
	// such as SystemVerification on a host with cgroup v1. "all" is refused.
	IgnorePreflightErrors []string `json:"ignorePreflightErrors,omitempty"`
}

// DecodeNodeConfig reads a NodeConfig, YAML or JSON. Errors are *InvalidError
// and *VersionError.
func DecodeNodeConfig(data []byte) (*NodeConfig, error) {
	c := &NodeConfig{}
	if err := decode(data, KindNodeConfig, c); err != nil {
		return nil, err
	}
	return c, nil
}

// NodeConfigFor returns the NodeConfig of an instance that has no user data
// but the tag ClusterTag. It is validated like any other.
func NodeConfigFor(cluster string) (*NodeConfig, error) {
	c := &NodeConfig{TypeMeta: TypeMeta{APIVersion: GroupVersion, Kind: KindNodeConfig}}
	c.Spec.Cluster = cluster
	c.setDefaults()
	if err := c.validate().err(KindNodeConfig); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *NodeConfig) setDefaults() {
	if c.Spec.Parameter == "" && c.Spec.Cluster != "" {
		c.Spec.Parameter = ParameterName(c.Spec.Cluster)
	}
	if c.Spec.NodeName.Mode == "" {
		c.Spec.NodeName.Mode = IPName
	}
}
