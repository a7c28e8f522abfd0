package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/uninstall"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

const (
	// quiet is how long the group must stay as it was left. A controller at work acts on
	// what it saw of the group seconds before.
	quiet = 15 * time.Second
	// settleTimeout bounds the wait for that, settlePause is between two looks.
	settleTimeout = 2 * time.Minute
	settlePause   = 3 * time.Second
	// maxProtected is the most instances of one SetInstanceProtection, maxTagged of one
	// DeleteTags of EC2.
	maxProtected = 50
	maxTagged    = 1000
)

func (r *run) untag(ctx context.Context, g *fleet.Group, key string) error {
	if _, ok := g.Tags[key]; !ok {
		return nil
	}
	return r.do("Group/"+r.Group, "tag "+key, func() error {
		_, err := r.AutoScaling.DeleteTags(ctx, &autoscaling.DeleteTagsInput{Tags: []autoscalingtypes.Tag{{
			ResourceId: &r.Group, ResourceType: aws.String("auto-scaling-group"), Key: &key,
		}}})
		return err
	})
}

// ownHooks are those of Joinery's hooks that the group has.
func (r *run) ownHooks(ctx context.Context) ([]string, error) {
	out, err := r.AutoScaling.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &r.Group})
	if err != nil {
		return nil, fmt.Errorf("describe lifecycle hooks of group %s: %w", r.Group, err)
	}
	var names []string
	for _, h := range out.LifecycleHooks {
		if name := aws.ToString(h.LifecycleHookName); slices.Contains(r.Hooks, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// removeHook deletes a hook. An answer that was lost is no failure: the hook is gone.
func (r *run) removeHook(ctx context.Context, name string) error {
	return r.do("Group/"+r.Group, "lifecycle hook "+name, func() error {
		_, err := r.AutoScaling.DeleteLifecycleHook(ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: &r.Group, LifecycleHookName: &name})
		if err == nil {
			return nil
		}
		left, again := r.ownHooks(ctx)
		if again == nil && !slices.Contains(left, name) {
			return nil
		}
		return errors.Join(err, again)
	})
}

// protected are the group's instances whose protection Joinery may have set. A group that
// protects each new instance keeps it.
func protected(g *fleet.Group) (ids []string) {
	if g.ProtectsNew {
		return nil
	}
	for _, m := range g.Members {
		if m.Protected && m.LifecycleState.InService() {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (r *run) unprotect(ctx context.Context, g *fleet.Group) error {
	var lines []uninstall.Line
	ids := protected(g)
	for _, id := range ids {
		lines = append(lines, uninstall.Line{Object: "Instance/" + id, Removed: "protection from scale-in"})
	}
	return r.doAll(lines, func() error { return r.takeProtection(ctx, ids) })
}

// takeProtection takes the protection off instances.
func (r *run) takeProtection(ctx context.Context, ids []string) error {
	for chunk := range slices.Chunk(ids, maxProtected) {
		_, err := r.AutoScaling.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{
			AutoScalingGroupName: &r.Group, InstanceIds: chunk, ProtectedFromScaleIn: aws.Bool(false),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settle watches the group until it has stayed released for a while: without the tag,
// hooks and protection. AWS shows old states for some time, and a controller may have
// protected an instance since.
func (r *run) settle(ctx context.Context) error {
	if r.DryRun {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	since := time.Now()
	for time.Since(since) < quiet {
		if err := wait.For(ctx, settlePause); err != nil {
			return fmt.Errorf("release group %s: it does not stay as it was left: %w", r.Group, err)
		}
		g, err := r.Fleet.Group(ctx, r.Group, 0)
		if err != nil {
			return fmt.Errorf("release group %s: %w", r.Group, err)
		}
		if g == nil {
			return nil
		}
		ids := protected(g)
		if _, tagged := g.Tags[v1alpha1.ClusterTag]; tagged || len(ids) > 0 {
			since = time.Now()
		}
		if err := r.takeProtection(ctx, ids); err != nil {
			return fmt.Errorf("release group %s: %w", r.Group, err)
		}
	}
	return nil
}

// unmark takes off the group's Nodes what scale-down wrote: the mark of a removal with
// its cordon, and since when a node has been unneeded or has held itself.
func (r *run) unmark(ctx context.Context, g *fleet.Group) error {
	list, err := r.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var errs []error
	for i := range list.Items {
		n := &list.Items[i]
		id, ok := kube.InstanceOf(n)
		m, member := g.Member(id)
		if !ok || !member || m.Leaving() {
			continue
		}
		object := "Node/" + n.Name
		if drain.Own(n) {
			errs = append(errs, r.onNode(object, "the mark of a removal", func() error { return drain.Unmark(ctx, r.Client, n.Name, n.UID) }))
		}
		for _, key := range []string{v1alpha1.UnneededSinceLabel, v1alpha1.HeldSinceLabel} {
			if _, ok := n.Labels[key]; ok {
				errs = append(errs, r.onNode(object, "label "+key, func() error { return drain.Label(ctx, r.Client, n.Name, n.UID, key, nil) }))
			}
		}
	}
	return errors.Join(errs...)
}

// onNode is do for a Node. One that is gone, or another one by now, has none of the marks.
func (r *run) onNode(object, removed string, write func() error) error {
	err := r.do(object, removed, write)
	var other *drain.OtherNodeError
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) || errors.As(err, &other) {
		return nil
	}
	return err
}

// untagInstances takes v1alpha1.ClusterTag off the group's instances.
func (r *run) untagInstances(ctx context.Context, g *fleet.Group) error {
	var ids, tagged []string
	for _, m := range g.Members {
		ids = append(ids, m.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	instances, err := r.Fleet.ByID(ctx, ids...)
	if err != nil {
		return fmt.Errorf("release group %s: %w", r.Group, err)
	}
	for _, in := range instances {
		if in.Cluster == r.Cluster {
			tagged = append(tagged, in.ID)
		}
	}
	for chunk := range slices.Chunk(tagged, maxTagged) {
		err := r.do(fmt.Sprintf("%d instances", len(chunk)), "tag "+v1alpha1.ClusterTag, func() error {
			_, err := r.EC2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: chunk, Tags: []ec2types.Tag{{Key: aws.String(v1alpha1.ClusterTag)}}})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
