package hooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/binding/binder"
)

// execute does what was decided about one instance.
func (l *Loop) execute(ctx context.Context, d Decision) error {
	s := l.seen[d.key()] // each instance has its own, and maps are only read here
	l.report(d, s)
	switch d.Action {
	case Continue, Abandon:
		return l.finish(ctx, d, s)
	case Heartbeat:
		// Before the drain: the drain must not cost the instance its wait.
		if err := l.extend(ctx, d, s); err != nil {
			return errors.Join(err, l.prepare(ctx, d))
		}
	}
	return l.prepare(ctx, d)
}

// prepare does what has to be done before the instance can go on.
func (l *Loop) prepare(ctx context.Context, d Decision) error {
	var failed []error
	for _, n := range d.Drain {
		failed = append(failed, l.drain(ctx, n))
	}
	if d.Clear != nil {
		failed = append(failed, l.clear(ctx, *d.Clear))
	}
	return errors.Join(failed...)
}

func (l *Loop) extend(ctx context.Context, d Decision, s *sight) error {
	ctx, cancel := context.WithTimeout(ctx, oneAction)
	defer cancel()
	now := time.Now()
	err := l.actions.beat(ctx, d.Held)
	switch {
	case errors.Is(err, errNoAction):
		s.done = true
		return nil
	case err != nil:
		l.metrics.count(d, failed)
		return err
	}
	s.beat = now
	l.metrics.count(d, "ok")
	return nil
}

// finish completes the lifecycle action, if the instance still waits as it was
// seen to and what was decided still holds. Whoever dies in here leaves either
// an instance that waits, or one that does not: the next look tells.
func (l *Loop) finish(ctx context.Context, d Decision, s *sight) error {
	ctx, cancel := context.WithTimeout(ctx, oneAction)
	defer cancel()
	fresh, err := l.again(ctx, d.Held)
	if err != nil {
		return err
	}
	if now := decide(fresh, time.Now(), l.policy); now.Action != d.Action {
		l.deps.Log.Info("lifecycle action put off", "group", d.Group, "instance", d.InstanceID, "decided", d.Reason, "now", now.Reason, "why", now.Message)
		return nil
	}
	states, err := l.deps.Finder.Lifecycles(ctx, d.InstanceID)
	if err != nil {
		return err
	}
	if state := states[d.InstanceID]; state != d.State {
		l.deps.Log.Info("lifecycle action is past", "group", d.Group, "instance", d.InstanceID, "was", d.State, "is", state)
		return nil
	}
	err = l.actions.complete(ctx, d.Held, d.Action)
	l.deps.Finder.Changed()
	switch {
	case errors.Is(err, errNoAction):
		s.done = true
		if !d.Doubtful {
			l.metrics.count(d, "past")
			l.deps.Log.Info("lifecycle action was completed already", "group", d.Group, "hook", d.Hook.Name, "instance", d.InstanceID)
		}
		return nil
	case err != nil:
		l.metrics.count(d, failed)
		return err
	}
	s.done = true
	l.finished(d)
	return nil
}

// again reads afresh the Nodes that the decision was made from, or that of the
// instance's name if there was none, and their pods.
func (l *Loop) again(ctx context.Context, h Held) (Held, error) {
	names := map[string]bool{}
	if name := h.nodeName(l.policy); name != "" {
		names[name] = true
	}
	for _, n := range h.Nodes {
		names[n.Name] = true
	}
	h.Nodes = nil
	for name := range names {
		n, err := l.deps.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return h, fmt.Errorf("read node %s: %w", name, err)
		}
		v, err := l.deps.Binding.Fresh(ctx, name, n.UID)
		var changed *binder.ChangedError
		switch {
		case errors.As(err, &changed): // gone, or another Node by now
		case err != nil:
			return h, fmt.Errorf("judge node %s: %w", name, err)
		case v.InstanceID == h.InstanceID:
			h.Nodes = append(h.Nodes, standing(nodeOf(n), v))
		}
	}
	if h.Phase != Draining {
		return h, nil
	}
	return h, l.readPods(ctx, h.Nodes)
}
