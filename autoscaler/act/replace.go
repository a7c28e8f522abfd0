package act

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	nodebinder "github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/kube"
)

// replaceEvery is the least time between two replacements in one group: what keeps
// one instance from joining often keeps all of them, and a group must not be churned
// for it.
const replaceEvery = time.Minute

// Replace ends instances that have been members for longer than timeout without being
// a Node, those that a launch hook holds among them, and notes that as their group's
// launch failure. A group whose process Terminate is suspended loses none. One whose
// Node was deleted gets the same time to make it again; its end is no failure to launch,
// and backs nothing off. One that is Doubted waits until its group's pause is over: at
// the minimum AWS launches another for it. At most one in each group at a time, and not
// one in replaceEvery after the last.
//
// Which instance a Node is, bindings say, and the Binder again right before the
// call to AWS. A Node that nothing is known about keeps the instance that it claims,
// and no other.
//
// An instance whose Node never became Ready is not replaced: the cause is most
// often the cluster's (network plugin, image registry) and a new instance would
// fare no better. It stops counting as capacity after cluster.StartupTimeout and
// is the operator's to delete.
func (e *Executor) Replace(ctx context.Context, groups []cluster.Group, bindings map[string]binding.Verdict, now time.Time, timeout time.Duration) error {
	e.sawJoined(bindings, now)
	var errs []error
	for _, g := range groups {
		if g.Suspends(cluster.ProcessTerminate) {
			continue
		}
		var late []string
		for n := range g.Instances {
			i := &g.Instances[n]
			counts := i.LifecycleState.InService() || i.LifecycleState.Pending()
			if counts && !g.Doubted(i) && !e.joinedLately(i.ID, now, timeout) && !i.LaunchedAt.IsZero() && now.Sub(i.LaunchedAt) > timeout {
				late = append(late, i.ID)
			}
		}
		if len(late) == 0 || !e.mayReplace(g.Name, now) {
			continue
		}
		id, err := e.nodeless(ctx, late)
		if err == nil && id != "" {
			err = e.replace(ctx, g.Name, id, timeout, e.wasNode(g, id, timeout))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// wasNode reports whether an instance without a Node had one:
//   - it was seen as one; or
//   - it is so much older than this controller that one before would have replaced it,
//     had it never joined.
func (e *Executor) wasNode(g cluster.Group, instance string, timeout time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, seen := e.joined[instance]; seen {
		return true
	}
	for _, i := range g.Instances {
		if i.ID == instance {
			return i.LaunchedAt.Add(timeout + settleReplace).Before(e.began)
		}
	}
	return false
}

// settleReplace is how much longer than its timeout a replacement may take: others of the
// group come first.
const settleReplace = 10 * time.Minute

func (e *Executor) replace(ctx context.Context, group, instance string, timeout time.Duration, lost bool) error {
	if lost {
		return e.loseInstance(ctx, group, instance, timeout)
	}
	reason := fmt.Sprintf("instance %s did not become a node within %s", instance, timeout)
	e.o.Log.Warn("replacing instance", "group", group, "instance", instance, "reason", reason)
	if err := e.o.Groups.Replace(ctx, group, instance, reason); err != nil {
		return err
	}
	e.o.Metrics.replaced.WithLabelValues(group).Inc()
	e.o.Events.Eventf(ControllerLease(), corev1.EventTypeWarning, "DeleteUnregistered", "group %s: %s", group, reason)
	return nil
}

// loseInstance ends an instance whose Node was deleted and did not come back.
func (e *Executor) loseInstance(ctx context.Context, group, instance string, timeout time.Duration) error {
	reason := fmt.Sprintf("the Node of instance %s was deleted and did not come back within %s", instance, timeout)
	e.o.Log.Warn("ending instance", "group", group, "instance", instance, "reason", reason)
	if err := e.o.Groups.Lose(ctx, group, instance); err != nil {
		return err
	}
	e.o.Metrics.lost.WithLabelValues(group).Inc()
	e.o.Events.Eventf(ControllerLease(), corev1.EventTypeWarning, reasonLost, "group %s: %s", group, reason)
	return nil
}

// nodeless returns the first of the instances for which no Node speaks now; empty
// when a Node speaks for each.
func (e *Executor) nodeless(ctx context.Context, instances []string) (string, error) {
	bindings, err := e.o.Binder.All(ctx, 0)
	if err != nil {
		return "", fmt.Errorf("look for nodes of instances: %w", err)
	}
	list, err := e.o.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("look for nodes of instances: %w", err)
	}
	spoken := map[string]bool{}
	for _, v := range bindings {
		spoken[v.InstanceID] = spoken[v.InstanceID] || speaksFor(v, v.InstanceID)
	}
	for _, id := range instances {
		taken := spoken[id]
		if !taken {
			taken, err = e.isNode(ctx, id, list.Items, bindings)
		}
		if err != nil {
			return "", err
		}
		if !taken {
			return id, nil
		}
	}
	return "", nil
}

// isNode reports whether one of the nodes that the API server lists now speaks for
// the instance: what the Binder observes of Nodes may be behind. A Node that it has not
// judged yet and that claims no instance is judged now, by its name: one of another
// cloud, or of none, keeps no instance of ours.
func (e *Executor) isNode(ctx context.Context, instance string, nodes []corev1.Node, bindings map[string]binding.Verdict) (bool, error) {
	for i := range nodes {
		n := &nodes[i]
		id, claims := kube.InstanceOf(n)
		_, judged := bindings[n.Name]
		switch {
		case claims && id != instance, !claims && judged:
			continue
		}
		v, err := e.o.Binder.Fresh(ctx, n.Name, n.UID)
		var changed *nodebinder.ChangedError
		if errors.As(err, &changed) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("look for a node of instance %s: %w", instance, err)
		}
		if speaksFor(v, instance) {
			return true, nil
		}
	}
	return false, nil
}

// sawJoined notes which instances are Nodes now.
func (e *Executor) sawJoined(bindings map[string]binding.Verdict, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, v := range bindings {
		if speaksFor(v, v.InstanceID) {
			e.joined[v.InstanceID] = now
		}
	}
}

// joinedLately reports whether the instance was a Node within timeout.
func (e *Executor) joinedLately(instance string, now time.Time, timeout time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	at, ok := e.joined[instance]
	return ok && now.Sub(at) <= timeout
}

// Joined returns the instances of the groups that have been Nodes, whether or not they
// still are: none of them is on its way. One that went back into a warm pool is when it
// comes out of it.
func (e *Executor) Joined(groups []cluster.Group, bindings map[string]binding.Verdict, now time.Time) map[cluster.InstanceID]bool {
	e.sawJoined(bindings, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	out, members := map[cluster.InstanceID]bool{}, map[string]bool{}
	for _, g := range groups {
		for _, i := range g.Instances {
			if i.LifecycleState.Pooled() || i.LifecycleState.Pending() {
				continue
			}
			members[i.ID] = true
			if _, seen := e.joined[i.ID]; seen {
				out[i.ID] = true
			}
		}
	}
	maps.DeleteFunc(e.joined, func(id string, _ time.Time) bool { return !members[id] })
	return out
}

func (e *Executor) mayReplace(group string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if last, ok := e.replaced[group]; ok && now.Sub(last) < replaceEvery {
		return false
	}
	e.replaced[group] = now
	return true
}
