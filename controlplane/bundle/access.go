package bundle

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/drive"
)

// Access is what a Source does with the API server: it reads where the cluster says
// which endpoint and which CA it has.
var Access = []drive.Access{
	{Resource: "configmaps", Verbs: []string{"get"}, Namespace: metav1.NamespacePublic, Names: []string{"cluster-info"}},
	{Resource: "configmaps", Verbs: []string{"get"}, Namespace: metav1.NamespaceSystem, Names: []string{"kube-root-ca.crt"}},
}
