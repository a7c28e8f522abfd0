package adopt

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
)

// witness is the part of awsfleet.Reader that adoption uses.
type witness interface {
	Evidence(ctx context.Context, q binding.Questions, maxAge time.Duration) (binding.Evidence, error)
}

// Options are what adoption works with.
type Options struct {
	// Client of the API server, with the rights of the operator.
	Client kubernetes.Interface
	// Fleet says what EC2 knows; nil to believe what Nodes say.
	Fleet witness
	// Rules of the cluster; not used without Fleet.
	Rules binding.Rules
	// DryRun writes nothing.
	DryRun bool
}

// Run adopts the Nodes that are wished for, and returns what became of each. EC2 is
// asked about every Node, since two may claim one instance.
func Run(ctx context.Context, o Options, w Wish) ([]Line, error) {
	list, err := o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	book, err := Read(ctx, o.Client)
	if err != nil {
		return nil, err
	}
	if o.Fleet != nil {
		w.Rules = o.Rules
		e, err := o.Fleet.Evidence(ctx, binding.Ask(claimsOf(list.Items), nil, o.Rules), 0)
		if err != nil {
			return nil, fmt.Errorf("ask EC2 about the instances of nodes: %w", err)
		}
		w.Evidence = &e
	}
	lines := Plan(list.Items, book, w)
	return lines, o.write(ctx, lines)
}

// Remove takes the records of those names away.
func Remove(ctx context.Context, o Options, names []string) ([]Line, error) {
	book, err := Read(ctx, o.Client)
	if err != nil {
		return nil, err
	}
	lines := Removal(book, names)
	return lines, o.write(ctx, lines)
}

func (o Options) write(ctx context.Context, lines []Line) error {
	if o.DryRun {
		return nil
	}
	return Write(ctx, o.Client.CoreV1().ConfigMaps(binder.RecordsNamespace), lines)
}

func claimsOf(nodes []corev1.Node) []binding.Node {
	out := make([]binding.Node, len(nodes))
	for i := range nodes {
		out[i] = binder.NodeOf(&nodes[i])
	}
	return out
}
