// Package release takes an Auto Scaling group back from Joinery. Its nodes stay in the
// cluster, and their certificates are renewed as before. Afterwards nothing of Joinery
// sizes the group, protects its instances or holds them in a lifecycle hook.
package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/uninstall"
	"github.com/joinery/joinery/internal/fleet"
)

// Fleet reads groups and instances as they are now, *awsfleet.Reader.
type Fleet interface {
	Group(ctx context.Context, name string, maxAge time.Duration) (*fleet.Group, error)
	ByID(ctx context.Context, ids ...string) ([]fleet.Instance, error)
}

// Options are what a release works with.
type Options struct {
	// Fleet, AutoScaling and EC2 act with the rights of the operator.
	Fleet       Fleet
	AutoScaling *autoscaling.Client
	EC2         *ec2.Client
	// Client of the API server.
	Client kubernetes.Interface
	// Cluster is its name, Group that of the group.
	Cluster, Group string
	// Hooks are the names of Joinery's lifecycle hooks.
	Hooks []string
	// Leave takes the discovery tags of Cluster Autoscaler off the group too, and
	// v1alpha1.ClusterTag off its instances: the certificates of their kubelets are not
	// renewed by Joinery any more.
	Leave bool
	// Force does not wait for instances that a hook holds. AWS ends those that start, and
	// those that terminate end without a drain.
	Force bool
	// DryRun writes nothing.
	DryRun bool
}

// HeldError says that lifecycle hooks hold instances, whose end the controller decides.
type HeldError struct {
	// Group is the group's name.
	Group string
	// Instances are the instances with their lifecycle states.
	Instances []string
}

// Error names the instances.
func (e *HeldError) Error() string {
	return fmt.Sprintf("lifecycle hooks of group %s hold %s: run this again when they have been let go, or with --force", e.Group, strings.Join(e.Instances, ", "))
}

// Run releases the group and returns what it changed, or with DryRun would. Running it
// again goes on where a failure ended it. Before anything is written these are errors:
// a group that AWS does not know, one of another cluster, one that the configuration
// names, and a *HeldError.
func Run(ctx context.Context, o Options) ([]uninstall.Line, error) {
	r := &run{Options: o}
	g, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	hooks, err := r.ownHooks(ctx)
	if err != nil {
		return nil, err
	}
	if held := held(g, hooks); len(held) > 0 && !o.Force {
		return nil, &HeldError{o.Group, held}
	}
	err = r.release(ctx, g, hooks)
	return r.lines, err
}

// run is a release under way.
type run struct {
	Options
	lines []uninstall.Line
}

// read looks at the group and refuses one that is not to be released.
func (r *run) read(ctx context.Context) (*fleet.Group, error) {
	g, err := r.Fleet.Group(ctx, r.Group, 0)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return nil, fmt.Errorf("release group %s: AWS knows no such group", r.Group)
	}
	if owner, ok := g.Tags[v1alpha1.ClusterTag]; ok && owner != r.Cluster {
		return nil, fmt.Errorf("release group %s: tag %s is %q: expected %q", r.Group, v1alpha1.ClusterTag, owner, r.Cluster)
	}
	if g.Named {
		return nil, fmt.Errorf("release group %s: spec.autoscaler.groups names it: remove it there, restart the controllers, and run this again", r.Group)
	}
	return g, nil
}

// release does the steps. The group's tag goes first: a controller that sees the group
// without it does nothing more there. The discovery tags go last, because the operator's
// rights follow from them.
func (r *run) release(ctx context.Context, g *fleet.Group, hooks []string) error {
	if err := r.untag(ctx, g, v1alpha1.ClusterTag); err != nil {
		return err
	}
	for _, hook := range hooks {
		if err := r.removeHook(ctx, hook); err != nil {
			return err
		}
	}
	if err := r.unprotect(ctx, g); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.unmark(ctx, g); err != nil {
		return err
	}
	if !r.Leave {
		return nil
	}
	if err := r.untagInstances(ctx, g); err != nil {
		return err
	}
	return errors.Join(r.untag(ctx, g, fleet.ClusterTagKey(r.Cluster)), r.untag(ctx, g, fleet.EnabledTag))
}

// do is doAll for one line.
func (r *run) do(object, removed string, write func() error) error {
	return r.doAll([]uninstall.Line{{Object: object, Removed: removed}}, write)
}

// doAll writes unless this is a dry run, and notes what that removed.
func (r *run) doAll(lines []uninstall.Line, write func() error) error {
	if !r.DryRun {
		if err := write(); err != nil {
			return fmt.Errorf("release group %s: %w", r.Group, err)
		}
	}
	r.lines = append(r.lines, lines...)
	return nil
}

// held lists the instances that one of the hooks may hold.
func held(g *fleet.Group, hooks []string) []string {
	var out []string
	for _, m := range g.Members {
		if len(hooks) > 0 && strings.HasSuffix(string(m.LifecycleState), ":Wait") {
			out = append(out, m.ID+" ("+string(m.LifecycleState)+")")
		}
	}
	slices.Sort(out)
	return out
}
