package act

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/scaledown/rules"
	"github.com/joinery/joinery/internal/wait"
)

// deletionDelay is for how long others may keep a drained node to clean up after
// it (Cluster Autoscaler's --node-deletion-delay-timeout).
const deletionDelay = 2 * time.Minute

// delayPoll is how often it is looked whether they still do.
const delayPoll = time.Second

// awaitDelays waits until nobody asks for time before the node ends any more, for
// deletionDelay at most. A node that cannot be read is left to the next look.
func (e *Executor) awaitDelays(ctx context.Context, name string) error {
	for end := time.Now().Add(deletionDelay); time.Now().Before(end); {
		node, err := e.o.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("read node: %w", err)
		}
		keys := rules.DelayedBy(node)
		if len(keys) == 0 {
			return nil
		}
		e.o.Log.Info("node is drained, others clean up first", "node", name, "annotations", keys)
		if err := wait.For(ctx, delayPoll); err != nil {
			return err
		}
	}
	return nil
}
