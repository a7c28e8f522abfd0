package csr

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/controlplane/adopt"
	"github.com/joinery/joinery/internal/binding"
)

// binds is the part of binder.Binder that Approver uses.
type binds interface {
	// Fresh returns how the Node with that UID stands now.
	Fresh(ctx context.Context, name string, uid types.UID) (binding.Verdict, error)
}

// findNode adds the Node of that name, as it is now, and how it stands. A verdict
// says that an answer is missing.
func (a *Approver) findNode(ctx context.Context, name string, f *Facts) *Verdict {
	n, err := a.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return hold(FactsUnreadable, "read node: %v", err)
	}
	records, err := a.records(ctx, name)
	if err != nil {
		return hold(FactsUnreadable, "%v", err)
	}
	v, err := a.binding.Fresh(ctx, name, n.UID)
	if err != nil {
		return hold(EC2Unreachable, "%v", err)
	}
	f.Node = NodeOf(n, v, records)
	return nil
}

// records returns the adopted Nodes; an error if that of the Node called name
// cannot be read.
func (a *Approver) records(ctx context.Context, name string) (binding.Records, error) {
	book, err := adopt.Read(ctx, a.client)
	if err != nil {
		return nil, err
	}
	return book.Records, book.Broken[name]
}

// stillNotAdmitted repeats the verdict on a Node that was held as NotAdmitted while
// neither a join nor an operator changed that. It costs no question to EC2: such a
// request may wait for days.
func (a *Approver) stillNotAdmitted(ctx context.Context, r Request, f Facts) *Verdict {
	a.mu.Lock()
	before := a.held[r.Name]
	a.mu.Unlock()
	if before != NotAdmitted || f.ShortLived {
		return nil
	}
	n, err := a.client.CoreV1().Nodes().Get(ctx, r.Node, metav1.GetOptions{})
	if err != nil || admitted(n) {
		return nil
	}
	records, err := a.records(ctx, r.Node)
	if _, recorded := records[r.Node]; err != nil || recorded {
		return nil
	}
	grants, err := a.grants.All(ctx)
	if err != nil {
		return nil
	}
	for _, g := range grants {
		if g.pending(r.Node) {
			return nil
		}
	}
	return notAdmitted(r, &Node{Binding: binding.Verdict{Message: fmt.Sprintf("its UID is %s", n.UID)}})
}
