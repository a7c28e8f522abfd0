// Package adopt records the Nodes that were there before Joinery: control-plane
// nodes, nodes of another VPC, nodes on premises. No proof of theirs was ever
// looked at, so their certificates live on by an operator's word. That word is
// kept in the ConfigMap of internal/binding/binder, which no kubelet can write.
package adopt

import (
	"context"
	"errors"

	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
)

// Book is what the ConfigMap says.
type Book struct {
	// Records are the adopted Nodes.
	Records binding.Records
	// Broken are the entries that cannot be read, by the Node's name. Nothing may
	// be decided about such a Node: it may be adopted or not.
	Broken map[string]error
}

// Read returns what is recorded now. Without the ConfigMap nothing is.
func Read(ctx context.Context, client kubernetes.Interface) (Book, error) {
	records, err := binder.ConfigMap(client).Records(ctx)
	var bad *binder.EntryError
	if errors.As(err, &bad) {
		return Book{Records: records, Broken: bad.Problems}, nil
	}
	return Book{Records: records}, err
}
