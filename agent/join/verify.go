package join

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

// NotReadyError says that the Node is not as it must be yet.
type NotReadyError struct {
	// Node is its name.
	Node string
	// Missing says that there is no such Node at all.
	Missing bool
	// Why says what is missing.
	Why string
}

// Error says what is missing.
func (e *NotReadyError) Error() string { return fmt.Sprintf("node %s: %s", e.Node, e.Why) }

// ForeignNodeError says that the Node of our name belongs to another instance.
type ForeignNodeError struct{ Node, Want, Got string }

// Error names both instances.
func (e *ForeignNodeError) Error() string {
	return fmt.Sprintf("node %s: providerID is %q: expected %q: the Node object is another instance's", e.Node, e.Got, e.Want)
}

// Slow says that to look again soon is of no use: providerID never changes, so
// somebody has to delete the object.
func (e *ForeignNodeError) Slow() bool { return true }

// unitWatcher is the part of host.Units that tells how the kubelet does.
type unitWatcher interface {
	State(ctx context.Context, unit string) (host.UnitState, error)
}

// nodeGetter is the part of a client that reads our own Node.
type nodeGetter interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Node, error)
}

var _ nodeGetter = corev1client.NodeInterface(nil)

// The rhythm of looking at a Node that is about to come up: soon first, because
// a kubelet needs a second or two, and then seldom, because a group may boot a
// hundred nodes at once.
const (
	firstLook = 200 * time.Millisecond
	lastLook  = 2 * time.Second
)

// Verify waits until the Node is there, is this instance's and is Ready, or
// until ctx ends; it returns the Node's UID. That kubeadm reported success does
// not prove it: a kubelet that starts again and again can still get its
// certificate. Errors are *ForeignNodeError, *LostError when the guard says so,
// and *NotReadyError when ctx's time is up or the kubelet crashes all the time.
func Verify(ctx context.Context, nodes nodeGetter, units unitWatcher, n Node, g *Guard) (string, error) {
	for pause := firstLook; ; pause = min(pause*3/2, lastLook) {
		node, err := nodes.Get(ctx, n.Name, metav1.GetOptions{})
		if lost := g.Observe(node, err, time.Now()); lost != nil {
			return "", lost
		}
		lacking, err := inspect(node, err, n, g)
		if err != nil {
			return "", err
		}
		if lacking == nil {
			return string(node.UID), nil
		}
		if s, err := units.State(ctx, KubeletUnit); err == nil && s.CrashLooping() {
			return "", &NotReadyError{Node: n.Name, Why: fmt.Sprintf("the kubelet crashes (%s, %d restarts): see journalctl -u kubelet: %s", s.Sub, s.Restarts, lacking.Why)}
		}
		if wait.For(ctx, pause) != nil {
			return "", lacking
		}
	}
}

// inspect says what the Node lacks, or nil; a Node or an API server that is not
// there is something to wait for. A Node that is lost, though not for certain
// yet, is waited for as well.
func inspect(node *corev1.Node, err error, n Node, g *Guard) (*NotReadyError, error) {
	switch {
	case apierrors.IsNotFound(err) && g.UID != "":
		return &NotReadyError{Node: n.Name, Why: "is gone"}, nil
	case apierrors.IsNotFound(err):
		return &NotReadyError{Node: n.Name, Missing: true, Why: "does not exist yet"}, nil
	case err != nil:
		return &NotReadyError{Node: n.Name, Why: "cannot be read: " + err.Error()}, nil
	case g.Doubts():
		return &NotReadyError{Node: n.Name, Why: "was made again: UID " + string(node.UID)}, nil
	case node.Spec.ProviderID != n.ProviderID:
		return nil, &ForeignNodeError{Node: n.Name, Want: n.ProviderID, Got: node.Spec.ProviderID}
	}
	why := "is not Ready: the kubelet has not reported yet"
	if kube.KubeletReady(node) {
		return nil, nil
	}
	if c := kube.Condition(node, corev1.NodeReady); c != nil {
		why = fmt.Sprintf("is not Ready: %s: %s", c.Reason, c.Message)
	}
	return &NotReadyError{Node: n.Name, Why: why}, nil
}
