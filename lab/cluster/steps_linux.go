package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/machine"
)

// step is a part of making a master that is worth reporting.
type step struct {
	name string
	do   func(context.Context) error
}

// run does the steps in order and reports each.
func (c *Cluster) run(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		if err := c.o.Report.Step(s.name, func() (bool, error) { return false, s.do(ctx) }); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// execAll runs commands on m in order, up to the first that fails.
func execAll(ctx context.Context, m *machine.Machine, commands [][]string) error {
	for _, args := range commands {
		if _, err := m.Exec(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// pipe runs a command on m with input as its standard input.
func pipe(ctx context.Context, m *machine.Machine, input io.Reader, args ...string) error {
	cmd, err := m.Command(ctx, args...)
	if err != nil {
		return err
	}
	cmd.Stdin = input
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("run %s on %s: %w: %s", args[0], m.ID(), err, strings.TrimSpace(out.String())), context.Cause(ctx))
	}
	return nil
}

// WaitNode waits until the Node called name is Ready and returns it.
func (c *Cluster) WaitNode(ctx context.Context, name string) (*corev1.Node, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := "it does not exist"
	for {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			for _, cond := range node.Status.Conditions {
				if cond.Type != corev1.NodeReady {
					continue
				}
				if cond.Status == corev1.ConditionTrue {
					return node, nil
				}
				last = cond.Message
			}
		case !apierrors.IsNotFound(err):
			last = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for node %s: %w: %s", name, context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}
