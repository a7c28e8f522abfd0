package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
)

const (
	// endedFor is how long an instance whose termination was accepted is
	// remembered: by then its Node is gone.
	endedFor = 30 * time.Minute
	// replaceEvery is the least time between two replacements in one group:
	// what keeps one instance from joining often keeps all of them, and a group
	// must not be churned for it.
	replaceEvery = time.Minute
)

// TakeBack takes the mark off nodes that nobody removes: an earlier controller
// died during the removal. A node whose instance is on its way out, or is in
// none of the groups, keeps it. Before a mark goes the groups are looked at
// afresh: one that is newer than the picture of them may be that of a node whose
// instance its group ends, which controlplane/hooks drains.
func (e *Executor) TakeBack(ctx context.Context, groups []cluster.Group) error {
	nodes, err := e.o.Nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	if len(e.abandoned(nodes, groups)) == 0 {
		return nil
	}
	if groups, err = e.o.Groups.Groups(ctx, 0); err != nil {
		return fmt.Errorf("look at groups before taking a removal back: %w", err)
	}
	var errs []error
	for _, n := range e.abandoned(nodes, groups) {
		e.o.Log.Info("taking back an abandoned removal", "node", n.Name, "instance", asg.InstanceOf(n))
		if err := e.unmark(ctx, n.Name); err != nil {
			errs = append(errs, fmt.Errorf("untaint node %s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

// abandoned returns the marked nodes whose instance does not leave its group,
// and that are not being removed here.
func (e *Executor) abandoned(nodes []*corev1.Node, groups []cluster.Group) []*corev1.Node {
	staying := map[string]bool{} // ids of instances that do not leave
	for _, g := range groups {
		for _, i := range g.Instances {
			staying[i.ID] = !i.Leaving() && !strings.HasPrefix(i.LifecycleState, "Warmed")
		}
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *corev1.Node) bool {
		id := asg.InstanceOf(n)
		return !Marked(n) || !staying[id] || e.busyWith(n.Name, id)
	})
}

func (e *Executor) busyWith(node, instance string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, removing := e.removals[node]
	_, ended := e.ended[instance]
	return removing || ended
}

// Protect sets scale-in protection on the instances in service that lack it and
// are not being removed.
func (e *Executor) Protect(ctx context.Context, groups []cluster.Group) error {
	var errs []error
	for _, g := range groups {
		var bare []string
		for _, i := range g.Instances {
			if i.LifecycleState == "InService" && !i.Protected && !e.busyWith("", i.ID) {
				bare = append(bare, i.ID)
			}
		}
		if len(bare) == 0 {
			continue
		}
		if err := e.o.Groups.Protect(ctx, g.Name, bare); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Replace ends instances that have been in service for longer than timeout
// without being a Node, and backs their group off. One whose Node was deleted
// gets the same time to make it anew. At most one in each group at a time, and
// not one in replaceEvery after the last. While any Node names no instance,
// nothing is done at all: that Node may be the one.
//
// An instance whose Node never became Ready is not replaced: the cause is most
// often the cluster's (network plugin, image registry) and a new instance would
// fare no better. It stops counting as capacity after cluster.StartupTimeout and
// is the operator's to delete.
func (e *Executor) Replace(ctx context.Context, groups []cluster.Group, nodes []*corev1.Node, now time.Time, timeout time.Duration) error {
	joined := map[string]bool{}
	for _, n := range nodes {
		id := asg.InstanceOf(n)
		if id == "" && !controlPlane(n) {
			return nil
		}
		joined[id] = true
	}
	e.sawJoined(joined, now, timeout)
	var errs []error
	for _, g := range groups {
		i := slices.IndexFunc(g.Instances, func(i cluster.Instance) bool {
			return i.LifecycleState == "InService" && !e.joinedLately(i.ID) && !i.LaunchedAt.IsZero() && now.Sub(i.LaunchedAt) > timeout
		})
		if i < 0 || !e.mayReplace(g.Name, now) {
			continue
		}
		in := g.Instances[i]
		if here, err := e.isNode(ctx, in.ID); err != nil || here {
			errs = append(errs, err)
			continue
		}
		reason := fmt.Sprintf("instance %s did not become a node within %s", in.ID, timeout)
		e.o.Log.Warn("replacing instance", "group", g.Name, "instance", in.ID, "reason", reason)
		if err := e.o.Groups.Replace(ctx, g.Name, in.ID, reason); err != nil {
			errs = append(errs, err)
			continue
		}
		e.o.Metrics.replaced.WithLabelValues(g.Name).Inc()
		e.o.Events.Eventf(controllerLease(), corev1.EventTypeWarning, "DeleteUnregistered", "group %s: %s", g.Name, reason)
	}
	return errors.Join(errs...)
}

// isNode asks the API server itself whether the instance is a Node, or whether a
// Node names no instance: what is observed may be behind.
func (e *Executor) isNode(ctx context.Context, instance string) (bool, error) {
	list, err := e.o.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("look for a node of instance %s: %w", instance, err)
	}
	return slices.ContainsFunc(list.Items, func(n corev1.Node) bool {
		id := asg.InstanceOf(&n)
		return id == instance || id == "" && !controlPlane(&n)
	}), nil
}

// sawJoined notes which instances are Nodes now, and forgets those that have not
// been for longer than timeout.
func (e *Executor) sawJoined(joined map[string]bool, now time.Time, timeout time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	forget(e.joined, now, timeout)
	for id := range joined {
		e.joined[id] = now
	}
}

func (e *Executor) joinedLately(instance string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.joined[instance]
	return ok
}

// controlPlane says whether the node is a master: masters are in no group and
// kubeadm gives them no providerID.
func controlPlane(n *corev1.Node) bool {
	_, ok := n.Labels["node-role.kubernetes.io/control-plane"]
	return ok
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
