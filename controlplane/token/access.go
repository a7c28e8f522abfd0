package token

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/drive"
)

// Access is what a Rotator of the purpose does with the API server, and Watch for it.
// RBAC cannot tie a creation to a name; an admission policy does (deploy/rbac).
func (p Purpose) Access() []drive.Access {
	return []drive.Access{
		{Resource: "secrets", Verbs: []string{"create"}, Namespace: metav1.NamespaceSystem},
		{Resource: "secrets", Verbs: []string{"get", "list", "watch", "delete"}, Namespace: metav1.NamespaceSystem, Names: p.SecretNames()},
	}
}
