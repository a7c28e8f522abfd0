package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// tokenGroups are those of Joinery's tokens: its own, and the one that every
// bootstrap token is in.
var tokenGroups = []string{v1alpha1.BootstrapGroup, kube.BootstrapDefaultGroup}

// Roles that are looked at elsewhere, or are what a token is for.
const (
	nodeBootstrapper = "system:node-bootstrapper"
	approvalPrefix   = "system:certificates.k8s.io:certificatesigningrequests:" // see autoApproval
)

// tokenRights looks whether a token is worth more than a request.
func tokenRights(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	wide, err := c.Client.RbacV1().ClusterRoleBindings().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list cluster role bindings: %w", err)
	}
	narrow, err := c.Client.RbacV1().RoleBindings(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list role bindings: %w", err)
	}
	var out []Finding
	for _, b := range wide.Items {
		out = append(out, judgeTokenRights("clusterrolebinding "+b.Name, b.RoleRef, b.Subjects)...)
	}
	for _, b := range narrow.Items {
		out = append(out, judgeTokenRights("rolebinding -n "+b.Namespace+" "+b.Name, b.RoleRef, b.Subjects)...)
	}
	if len(out) == 0 {
		return well("Joinery's tokens may ask for a certificate and do nothing else"), nil
	}
	return out, nil
}

func judgeTokenRights(binding string, role rbacv1.RoleRef, subjects []rbacv1.Subject) []Finding {
	if role.Name == nodeBootstrapper || strings.HasPrefix(role.Name, approvalPrefix) {
		return nil
	}
	var groups []string
	for _, s := range subjects {
		if s.Kind == rbacv1.GroupKind && slices.Contains(tokenGroups, s.Name) {
			groups = append(groups, s.Name)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	return []Finding{{
		Level: Warning, Found: fmt.Sprintf("%s gives %s %s to %s", binding, role.Kind, role.Name, some(groups)),
		Why:  "who holds a token may do that too; it needs to ask for a certificate and nothing else",
		Mend: "kubectl edit " + binding,
	}}
}
