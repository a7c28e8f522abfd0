package kube

import (
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
)

// Taints.
const (
	// ToBeDeletedTaint marks a node whose removal has begun; its value is the Unix time
	// of that. Source: Cluster Autoscaler, utils/taints.ToBeDeletedTaint.
	ToBeDeletedTaint = "ToBeDeletedByClusterAutoscaler"
	// DeletionCandidateTaint marks a node that Cluster Autoscaler may remove soon, with
	// the effect PreferNoSchedule. It decides nothing here. The autoscaler removes it
	// from the nodes of its groups.
	// Source: Cluster Autoscaler, utils/taints.DeletionCandidateTaint.
	DeletionCandidateTaint = "DeletionCandidateOfClusterAutoscaler"
	// UninitializedTaint is on a node until the cloud provider has looked at it.
	// Source: k8s.io/cloud-provider/api.TaintExternalCloudProvider.
	UninitializedTaint = "node.cloudprovider.kubernetes.io/uninitialized"
	// StartupTaintPrefix and IgnoredTaintPrefix begin the keys of taints that an
	// operator's own start-up work removes.
	// Source: Cluster Autoscaler, utils/taints.StartupTaintPrefix, IgnoreTaintPrefix.
	StartupTaintPrefix = "startup-taint.cluster-autoscaler.kubernetes.io/"
	IgnoredTaintPrefix = "ignore-taint.cluster-autoscaler.kubernetes.io/"
	// StatusTaintPrefix begins the keys of taints by which an operator takes a running
	// node out of use for a while. Source: Cluster Autoscaler, utils/taints.StatusTaintPrefix.
	StatusTaintPrefix = "status-taint.cluster-autoscaler.kubernetes.io/"
)

// Labels and taints by which kubeadm marks a control-plane node; the second is that of
// clusters made before Kubernetes 1.24. Source: kubeadm/app/constants.
const (
	ControlPlaneLabel    = "node-role.kubernetes.io/control-plane"
	OldControlPlaneLabel = "node-role.kubernetes.io/master"
)

// Annotations that mean here what they mean to Cluster Autoscaler. Each holds with the
// value "true" unless it says otherwise. Source: Cluster Autoscaler, FAQ.
const (
	// AutoscalerAnnotationPrefix begins all of them but DelayDeletionPrefix.
	AutoscalerAnnotationPrefix = "cluster-autoscaler.kubernetes.io/"
	// DaemonSetPodAnnotation makes a pod count as a DaemonSet's, see DaemonSetPod.
	DaemonSetPodAnnotation = "cluster-autoscaler.kubernetes.io/daemonset-pod"
	// EvictDaemonSetPodAnnotation has a DaemonSet pod evicted before its node goes.
	EvictDaemonSetPodAnnotation = "cluster-autoscaler.kubernetes.io/enable-ds-eviction"
	// SafeToEvictAnnotation on a pod lifts rules that keep it ("true") or keeps it
	// ("false", "on-completion").
	SafeToEvictAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	// SafeVolumesAnnotation on a pod lists the local volumes whose loss is harmless,
	// separated by commas.
	SafeVolumesAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	// ScaleDownDisabledAnnotation on a Node keeps it.
	ScaleDownDisabledAnnotation = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	// DoNotDisruptAnnotation is Karpenter's: see DoNotDisrupt and NodeDoNotDisrupt.
	// Source: Karpenter, apis/v1.DoNotDisruptAnnotationKey.
	DoNotDisruptAnnotation = "karpenter.sh/do-not-disrupt"
	// DelayDeletionPrefix begins annotations of a Node by which others ask for time to
	// clean up after it was drained; their values mean nothing.
	DelayDeletionPrefix = "delay-deletion.cluster-autoscaler.kubernetes.io/"
)

// Annotations of Joinery that more than one package writes or reads. That of the node
// report is v1alpha1.NodeReportAnnotation: it is part of the contract with the agent.
const (
	// CordonedAnnotation "true" on a Node says that Joinery cordoned it for a removal.
	// Taking the removal back uncordons only such a Node, never an operator's cordon.
	CordonedAnnotation = "joinery.dev/cordoned-for-removal"
	// DrainingAnnotation on a Node holds since when it is drained because its group
	// terminates its instance, in Unix seconds.
	DrainingAnnotation = "joinery.dev/draining-since"
)

// Parts of a bootstrap token's Secret. It is of type corev1.SecretTypeBootstrapToken, in
// kube-system, and named BootstrapTokenPrefix and the token's id.
// Source: Kubernetes, "Authenticating with Bootstrap Tokens"; k8s.io/cluster-bootstrap.
const (
	BootstrapTokenPrefix         = bootstrapapi.BootstrapTokenSecretPrefix
	BootstrapTokenIDKey          = bootstrapapi.BootstrapTokenIDKey
	BootstrapTokenSecretKey      = bootstrapapi.BootstrapTokenSecretKey
	BootstrapTokenExpirationKey  = bootstrapapi.BootstrapTokenExpirationKey
	BootstrapTokenUsageAuthKey   = bootstrapapi.BootstrapTokenUsageAuthentication
	BootstrapTokenUsageSignKey   = bootstrapapi.BootstrapTokenUsageSigningKey
	BootstrapTokenGroupsKey      = bootstrapapi.BootstrapTokenExtraGroupsKey
	BootstrapTokenDescriptionKey = bootstrapapi.BootstrapTokenDescriptionKey
	// BootstrapUserPrefix and the token's id are the name of a token's user.
	BootstrapUserPrefix = bootstrapapi.BootstrapUserPrefix
	// BootstrapDefaultGroup is the group of every bootstrap token.
	BootstrapDefaultGroup = bootstrapapi.BootstrapDefaultGroup
)

// BootstrapTokenSecretName returns the name of the Secret of the token with that id.
func BootstrapTokenSecretName(id string) string { return BootstrapTokenPrefix + id }

// NodesGroup is the group of every kubelet. A kubelet's user is NodeUser of its Node.
// Source: Kubernetes, "Using Node Authorization";
// k8s.io/apiserver/pkg/authentication/user.NodesGroup.
const (
	NodesGroup     = "system:nodes"
	NodeUserPrefix = "system:node:"
)

// CredentialIDExtra is the key in a user's extra fields that says by which certificate a
// request came; others of CredentialExtraPrefix may say more.
// Source: k8s.io/apiserver/pkg/authentication/user.CredentialIDKey.
const (
	CredentialExtraPrefix = "authentication.kubernetes.io/"
	CredentialIDExtra     = CredentialExtraPrefix + "credential-id"
)

// NodeUser returns the name of the user that the kubelet of the Node is. It is also the
// common name in its client and its serving certificate.
func NodeUser(node string) string { return NodeUserPrefix + node }
