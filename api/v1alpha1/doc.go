// Package v1alpha1 holds the versioned contracts between the parts of Joinery:
// NodeConfig (what an instance is launched with), JoinBundle (what the masters
// publish in SSM), ControllerConfig (what a master's controller runs with) and
// NodeReport (what an agent says about its own node).
//
// Decoding is strict: an unknown field, a duplicate key, a wrong type or an
// unknown version is an error, and an InvalidError lists every problem found,
// each with the path of its field. The package is a leaf: it imports no client.
package v1alpha1

// GroupVersion is the apiVersion that every document of this package carries.
const GroupVersion = "joinery.dev/v1alpha1"

// TypeMeta says which document this is and which version of it.
type TypeMeta struct {
	// APIVersion is always GroupVersion.
	APIVersion string `json:"apiVersion"`
	// Kind is NodeConfig, JoinBundle, ControllerConfig or NodeReport.
	Kind string `json:"kind"`
}

// Names that the parts agree on.
const (
	// BootstrapGroup is the only extra group of the tokens that Joinery makes.
	// It may create and read certificate signing requests and nothing else.
	BootstrapGroup = "system:bootstrappers:joinery:node"
	// LegacyBootstrapGroup is the extra group of the tokens that are made for
	// old user data (BundleSettings.LegacyTokenParameter). Nothing approves its
	// requests automatically either; the approver judges them without a proof.
	LegacyBootstrapGroup = "system:bootstrappers:joinery:legacy"
	// ClusterLabel marks the objects that Joinery made for a cluster, such as
	// bootstrap token Secrets; its value is the cluster's name.
	ClusterLabel = "joinery.dev/cluster"
	// ClusterTag is the tag on EC2 instances and Auto Scaling groups whose
	// value names the cluster that they belong to.
	ClusterTag = "joinery:cluster"

	// KubernetesVersionTag and JoineryVersionTag are the tags on a machine image
	// with the versions of its kubelet and its agent, such as 1.37.2. The image's
	// template sets them; controller and doctor read them.
	KubernetesVersionTag = "joinery:kubernetes-version"
	JoineryVersionTag    = "joinery:version"
	// ScaleDownReady is the type of the Node condition by which an agent says
	// whether its own node may go away.
	ScaleDownReady = "joinery.dev/ScaleDownReady"
	// NodeReportAnnotation is the Node annotation that holds a NodeReport.
	NodeReportAnnotation = "joinery.dev/node-report"
	// UnneededSinceLabel is the Node label in which the controller keeps since when
	// a node has been unneeded (Unix seconds), so that a restart forgets nothing. It
	// is of the domain that NodeRestriction keeps every kubelet from: a node cannot
	// stay by saying that its time has just begun.
	UnneededSinceLabel = OwnLabelDomain + "/unneeded-since"
	// HeldSinceLabel is the Node label in which the controller keeps since when a node
	// has held itself (Unix seconds), as the controller saw it.
	HeldSinceLabel = OwnLabelDomain + "/held-since"
	// OwnLabelDomain is the domain of the labels in which the controller records on
	// a Node what no node may say of itself. No declaration sets one.
	OwnLabelDomain = "joinery.node-restriction.kubernetes.io"
)

// ParameterName returns the SSM parameter in which the masters of cluster
// publish the join bundle unless they are configured otherwise.
func ParameterName(cluster string) string { return "/joinery/" + cluster + "/join" }
