package act

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/binding"
)

// binder decides which instance a Node is.
type binder interface {
	// All returns the verdicts by node name, from what EC2 said within maxAge.
	All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error)
	// Fresh judges the Node of that name and UID by what the API server and EC2
	// say now. A Node of another UID is an error.
	Fresh(ctx context.Context, name string, uid types.UID) (binding.Verdict, error)
}

// NotBoundError says that a Node is not the instance that an action was meant for,
// or is it no longer.
type NotBoundError struct {
	// Node and Instance that the action was meant for.
	Node, Instance string
	// Verdict says what the Node is.
	Verdict binding.Verdict
}

// Error names the Node, the instance and why the Node is not it.
func (e *NotBoundError) Error() string {
	return fmt.Sprintf("node %s is not instance %s: %s (%s): %s", e.Node, e.Instance, e.Verdict.Standing, e.Verdict.Reason, e.Verdict.Message)
}

// The actions that look at the binding again right before they begin; values of
// the label "action".
const (
	actMark      = "Mark"
	actTerminate = "Terminate"
	actTakeBack  = "TakeBack"
)

// stillBound asks now whether the Node is the instance. A *NotBoundError says that
// it is not; it is counted, and told in an Event.
func (e *Executor) stillBound(ctx context.Context, n *corev1.Node, instance, action string) error {
	v, err := e.o.Binder.Fresh(ctx, n.Name, n.UID)
	if err != nil {
		return fmt.Errorf("look up the instance of node %s: %w", n.Name, err)
	}
	if v.Is(instance) {
		return nil
	}
	e.o.Metrics.notBound.WithLabelValues(action).Inc()
	refusal := &NotBoundError{Node: n.Name, Instance: instance, Verdict: v}
	if e.firstNotice(notice{n.UID, "NotBound", refusal.Error()}) {
		e.o.Events.Event(n, corev1.EventTypeWarning, "NotBound", action+": "+refusal.Error())
	}
	return refusal
}

// speaksFor reports whether the verdict of a Node keeps the instance from being
// replaced as one that never joined:
//   - the Node is that instance, bound or adopted;
//   - or the Node claims it, and EC2's facts do not prove the claim a lie: EC2 did
//     not answer, the Node has no address yet, or it has a name of its own that no
//     operator has adopted yet.
//
// A claim that is proven a lie protects nothing, nor does one of a Node whose
// instance is going.
func speaksFor(v binding.Verdict, instance string) bool {
	if v.InstanceID != instance || v.Standing == binding.Leaving {
		return false
	}
	return v.Standing != binding.Impostor || !v.Proven
}
