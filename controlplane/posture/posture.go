// Package posture asks the API server whether kube-controller-manager approves
// nodes' signing requests by itself. Where it does, nobody judges them: the
// approver's checks are void, however strict they are.
package posture

import (
	"context"
	"fmt"
	"regexp"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// The two subresources by which kube-controller-manager decides (Kubernetes,
// pkg/controller/certificates/approver): it approves whatever comes from a
// requester that may "create" them.
const (
	// NodeClient is the right to have any node's certificate approved.
	NodeClient = "nodeclient"
	// SelfNodeClient is the right to have one's own certificate renewed.
	SelfNodeClient = "selfnodeclient"
)

// ClusterRoleBindings that kubeadm init makes, each of which makes the approver
// void.
const (
	KubeadmBootstrap = "kubeadm:node-autoapprove-bootstrap"
	KubeadmRotation  = "kubeadm:node-autoapprove-certificate-rotation"
)

// Groups that Kubernetes adds by itself.
const (
	authenticated   = "system:authenticated"
	unauthenticated = "system:unauthenticated"
)

// kubeadmGroup is that of the tokens that kubeadm makes unless told otherwise.
const kubeadmGroup = kube.BootstrapDefaultGroup + ":kubeadm:default-node-token"

// Requester is somebody whose signing requests must not be approved unseen.
type Requester struct {
	// Name for people, such as "a bootstrap token of Joinery".
	Name string
	// User and Groups as an authenticator would give them.
	User   string
	Groups []string
}

// Requesters returns all that are asked about. Tokens of each group are asked
// about apart, with the groups that the token authenticator and the API server
// add to every one.
func Requesters() []Requester {
	token := func(name string, extra ...string) Requester {
		return Requester{Name: name, User: kube.BootstrapUserPrefix + "abcdef", Groups: append(extra, kube.BootstrapDefaultGroup, authenticated)}
	}
	return []Requester{
		token("a bootstrap token of Joinery", v1alpha1.BootstrapGroup),
		token("a token for old user data", v1alpha1.LegacyBootstrapGroup),
		token("a token of kubeadm's default group", kubeadmGroup),
		token("any bootstrap token"),
		{Name: "a node", User: kube.NodeUser("joinery-posture"), Groups: []string{kube.NodesGroup, authenticated}},
		{Name: "an anonymous requester", User: "system:anonymous", Groups: []string{unauthenticated}},
	}
}

// Approval is a requester whose signing requests are approved by
// kube-controller-manager and judged by nobody.
type Approval struct {
	Requester Requester
	// Right is NodeClient or SelfNodeClient.
	Right string
	// Reason is the authorizer's own.
	Reason string
	// Binding is the ClusterRoleBinding that the reason names; empty if it names
	// none, as that of another authorizer than RBAC.
	Binding string
}

// Unsafe says whether the approval can be had for anything: a right to renew
// one's own certificate is worth nothing to those who have none of a node, since
// requester and subject must be the same.
func (a Approval) Unsafe() bool {
	return a.Right == NodeClient || a.Requester.Groups[0] == kube.NodesGroup
}

// Worth says in a clause what somebody can do with it.
func (a Approval) Worth() string {
	switch {
	case a.Right == NodeClient:
		return "gets the certificate of any node, masters included, and no check of Joinery's is asked"
	case a.Unsafe():
		return "gets its certificate renewed for ever, also when it was stolen and its instance is gone"
	default:
		return "may renew a node's certificate, which it has not: no use today, and no use to anybody"
	}
}

// Mend is the command that takes the right away, or, for a binding that may
// hold others' rights too, the one to begin with.
func (a Approval) Mend() string {
	switch a.Binding {
	case "":
		return fmt.Sprintf("kubectl auth can-i create certificatesigningrequests.certificates.k8s.io --subresource=%s --as=%s --as-group=%s -v=8",
			a.Right, a.Requester.User, a.Requester.Groups[0])
	case KubeadmBootstrap, KubeadmRotation:
		return "kubectl delete clusterrolebinding " + a.Binding
	default:
		return "kubectl edit clusterrolebinding " + a.Binding
	}
}

// reviews is the part of client-go's SubjectAccessReviewInterface that is used.
type reviews interface {
	Create(context.Context, *authorizationv1.SubjectAccessReview, metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// Ask asks the API server the very question that kube-controller-manager asks it
// before it approves, once for each requester and right.
func Ask(ctx context.Context, r reviews) ([]Approval, error) {
	var found []Approval
	for _, requester := range Requesters() {
		for _, right := range []string{NodeClient, SelfNodeClient} {
			answer, err := r.Create(ctx, question(requester, right), metav1.CreateOptions{})
			if err != nil {
				return nil, fmt.Errorf("ask whether %s may create %s: %w", requester.Name, right, err)
			}
			if answer.Status.Allowed {
				found = append(found, Approval{Requester: requester, Right: right, Reason: answer.Status.Reason, Binding: binding(answer.Status.Reason)})
			}
		}
	}
	return found, nil
}

func question(r Requester, right string) *authorizationv1.SubjectAccessReview {
	return &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: r.User, Groups: r.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: "certificates.k8s.io", Version: "*", Resource: "certificatesigningrequests", Subresource: right, Verb: "create",
		},
	}}
}

// named is how the RBAC authorizer says which binding allows something
// (Kubernetes, pkg/registry/rbac/validation).
var named = regexp.MustCompile(`\bClusterRoleBinding "([^"]+)"`)

func binding(reason string) string {
	if m := named.FindStringSubmatch(reason); m != nil {
		return m[1]
	}
	return ""
}
