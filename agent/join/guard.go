package join

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

// How long a loss has to be seen before it counts. One answer is never enough: it
// may come from an API server that is just being restored.
const (
	// lossLooks is how many answers have to agree.
	lossLooks = 4
	// goneFor is how long the Node has to be gone, or another one's.
	goneFor = 8 * time.Second
	// refusedFor is how long a certificate that is still good by this machine's
	// clock has to be refused: a cluster whose CA is being replaced refuses all
	// kubelets for a while, and must not make all of them join again at once.
	refusedFor = 5 * time.Minute
)

// LostError says that this machine is no longer the node that it joined as.
type LostError struct {
	// Node is its name.
	Node string
	// Reason is how the Node was lost.
	Reason v1alpha1.LossReason
	// Marked reports whether the Node was marked for removal when it was seen last.
	Marked bool
}

// Error says how.
func (e *LostError) Error() string {
	text := map[v1alpha1.LossReason]string{
		v1alpha1.NodeDeleted:        "was deleted",
		v1alpha1.NodeReplaced:       "was made again and is not the one that this machine joined as",
		v1alpha1.CredentialsRefused: "no longer accepts the kubelet's certificate",
	}[e.Reason]
	return fmt.Sprintf("node %s %s: joining again", e.Node, text)
}

// Guard decides from answers of the API server whether the Node that this machine
// joined as is lost:
//   - NodeDeleted: there is no Node of the name;
//   - NodeReplaced: the Node of the name has another UID;
//   - CredentialsRefused: the API server does not accept the kubelet's certificate.
//
// No answer, and every other error, says nothing. The zero value knows no UID: a
// Node that is missing is then not registered yet.
type Guard struct {
	// Name of the Node.
	Name string
	// UID of the Node that this machine joined as; empty until it was seen.
	UID string
	// Ended reports whether the kubelet's certificate ended by this machine's
	// clock; nil is never.
	Ended func() bool

	marked bool
	loss   v1alpha1.LossReason // what the last answer said; empty for no loss
	since  time.Time           // of the first answer in a row that said it
	looks  int                 // answers in a row
}

// Observe takes one answer to a read of the Node. It returns the loss once it is
// certain, and nil before.
func (g *Guard) Observe(node *corev1.Node, err error, now time.Time) *LostError {
	loss, told := g.classify(node, err)
	if !told {
		return nil
	}
	if loss == "" {
		g.loss, g.looks = "", 0
		g.marked = kube.Marked(node)
		return nil
	}
	if loss != g.loss {
		g.loss, g.since, g.looks = loss, now, 0
	}
	g.looks++
	if g.looks < lossLooks || now.Sub(g.since) < g.long() {
		return nil
	}
	return &LostError{Node: g.Name, Reason: loss, Marked: g.marked}
}

// The pace of looking at a Node that seems to be lost.
const (
	goneLook    = 2500 * time.Millisecond
	refusedLook = 15 * time.Second
)

// Pace returns how long to wait between two reads of a Node that seems to be
// lost: all kubelets of a cluster may be refused at once.
func (g *Guard) Pace() time.Duration {
	if g.Doubts() && g.long() == refusedFor {
		return refusedLook
	}
	return goneLook
}

// Look reads the Node until it is certain whether that is lost, or ctx ends. It
// returns nil when the Node is there, and when the API server says nothing.
func Look(ctx context.Context, nodes nodeGetter, g *Guard) *LostError {
	for {
		node, err := nodes.Get(ctx, g.Name, metav1.GetOptions{})
		if lost := g.Observe(node, err, time.Now()); lost != nil {
			return lost
		}
		if !g.Doubts() || wait.For(ctx, g.Pace()) != nil {
			return nil
		}
	}
}

// Doubts reports whether the last answer said that the Node is lost.
func (g *Guard) Doubts() bool { return g.loss != "" }

// classify returns what an answer says, and whether it says anything.
func (g *Guard) classify(node *corev1.Node, err error) (v1alpha1.LossReason, bool) {
	switch {
	case apierrors.IsUnauthorized(err):
		return v1alpha1.CredentialsRefused, true
	case apierrors.IsNotFound(err):
		return v1alpha1.NodeDeleted, g.UID != ""
	case err != nil || node == nil:
		return "", false
	case g.UID != "" && string(node.UID) != g.UID:
		return v1alpha1.NodeReplaced, true
	}
	return "", true
}

// long is how long the loss has to last.
func (g *Guard) long() time.Duration {
	if g.loss == v1alpha1.CredentialsRefused && (g.Ended == nil || !g.Ended()) {
		return refusedFor
	}
	return goneFor
}
