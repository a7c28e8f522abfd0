package act

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

const (
	// endedFor is how long an instance whose termination was accepted is
	// remembered: by then its Node is gone.
	endedFor = 30 * time.Minute
)

// TakeBack takes marks off nodes that no one removes. An earlier controller died during
// the removal, or a Cluster Autoscaler left them. A node keeps its mark while its
// instance leaves, and when its instance is in none of the groups. Bindings tell the
// instance of each node. The groups are read again before a mark goes: the Node may be
// newer than the groups, and controlplane/hooks may be draining it.
//
// Kube.DeletionCandidateTaint goes from every node of the groups: here it decides
// nothing, but the scheduler avoids its node.
func (e *Executor) TakeBack(ctx context.Context, groups []cluster.Group, bindings map[string]binding.Verdict) error {
	nodes, err := e.o.Nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	forgot := e.forgetCandidates(ctx, nodes, groups, bindings)
	if len(e.abandoned(nodes, groups, bindings)) == 0 {
		return forgot
	}
	if groups, err = e.o.Groups.Groups(ctx, 0); err != nil {
		return errors.Join(forgot, fmt.Errorf("look at groups before taking a removal back: %w", err))
	}
	errs := []error{forgot}
	for _, n := range e.abandoned(nodes, groups, bindings) {
		instance := bindings[n.Name].InstanceID
		var refused *NotBoundError
		if err := e.stillBound(ctx, n, instance, actTakeBack); errors.As(err, &refused) {
			continue // the next round knows what the Node is
		} else if err != nil {
			errs = append(errs, fmt.Errorf("take the removal of node %s back: %w", n.Name, err))
			continue
		}
		e.o.Log.Info("taking back an abandoned removal", "node", n.Name, "instance", instance)
		if err := e.unmark(ctx, n.Name); err != nil {
			errs = append(errs, fmt.Errorf("untaint node %s: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}

// forgetCandidates removes Cluster Autoscaler's soft taint.
func (e *Executor) forgetCandidates(ctx context.Context, nodes []*corev1.Node, groups []cluster.Group, bindings map[string]binding.Verdict) error {
	ours := staying(groups)
	var errs []error
	for _, n := range nodes {
		v := bindings[n.Name]
		if !kube.HasTaint(n, kube.DeletionCandidateTaint) || !v.Counts() || !ours[v.InstanceID] {
			continue
		}
		e.o.Log.Info("removing a taint that Cluster Autoscaler left", "node", n.Name, "taint", kube.DeletionCandidateTaint)
		err := drain.RemoveTaint(ctx, e.o.Kube, n.Name, n.UID, kube.DeletionCandidateTaint)
		var other *drain.OtherNodeError
		if err != nil && !apierrors.IsNotFound(err) && !errors.As(err, &other) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// staying returns the ids of the groups' instances that do not leave.
func staying(groups []cluster.Group) map[string]bool {
	ids := map[string]bool{}
	for _, g := range groups {
		for _, i := range g.Instances {
			ids[i.ID] = !i.Leaving() && !i.LifecycleState.Pooled()
		}
	}
	return ids
}

// abandoned returns the marked nodes whose instance does not leave its group,
// and that are not being removed here.
func (e *Executor) abandoned(nodes []*corev1.Node, groups []cluster.Group, bindings map[string]binding.Verdict) []*corev1.Node {
	staying := staying(groups)
	return slices.DeleteFunc(slices.Clone(nodes), func(n *corev1.Node) bool {
		v := bindings[n.Name]
		return !kube.Marked(n) || !v.Counts() || !staying[v.InstanceID] || e.busyWith(n.Name, v.InstanceID)
	})
}

func (e *Executor) busyWith(node, instance string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, removing := e.removals[node]
	_, ended := e.ended[instance]
	return removing || ended
}

// Protect sets scale-in protection on the instances in service that lack it and are not
// being removed: Auto Scaling knows nothing of pods. An instance refresh that waits for
// protected instances would fail by that, so those that it is to replace lose it, in
// groups too that protect each new instance: to start a refresh is the later wish. Bindings
// tell when EC2 launched an instance.
func (e *Executor) Protect(ctx context.Context, groups []cluster.Group, bindings map[string]binding.Verdict) error {
	launched := map[string]time.Time{}
	for _, v := range bindings {
		if v.Instance != nil {
			launched[v.InstanceID] = v.Instance.LaunchTime
		}
	}
	var kept, refreshed []cluster.Group
	for _, g := range groups {
		stay, leave := g, g
		stay.Instances, leave.Instances = nil, nil
		for _, i := range g.Instances {
			at, ok := launched[i.ID]
			if !ok {
				at = i.LaunchedAt
			}
			if g.Refresh.Replaces(at) {
				leave.Instances = append(leave.Instances, i)
			} else {
				stay.Instances = append(stay.Instances, i)
			}
		}
		kept, refreshed = append(kept, stay), append(refreshed, leave)
	}
	return errors.Join(e.setProtection(ctx, kept, true), e.setProtection(ctx, refreshed, false))
}

// Unprotect takes scale-in protection away, for an operator who wants Auto Scaling alone
// to make groups smaller. A group that protects each new instance keeps it.
func (e *Executor) Unprotect(ctx context.Context, groups []cluster.Group) error {
	own := slices.DeleteFunc(slices.Clone(groups), func(g cluster.Group) bool { return g.ProtectsNew })
	return e.setProtection(ctx, own, false)
}

func (e *Executor) setProtection(ctx context.Context, groups []cluster.Group, protected bool) error {
	set := e.o.Groups.Unprotect
	if protected {
		set = e.o.Groups.Protect
	}
	var errs []error
	for _, g := range groups {
		var other []string
		for _, i := range g.Instances {
			if i.LifecycleState.InService() && i.Protected != protected && !e.busyWith("", i.ID) {
				other = append(other, i.ID)
			}
		}
		if len(other) > 0 {
			errs = append(errs, set(ctx, g.Name, other))
		}
	}
	return errors.Join(errs...)
}
