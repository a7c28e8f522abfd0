package release_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/release"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// rig is a cluster with a group of two protected instances, under Joinery's hooks.
type rig struct {
	*simcluster.Cluster
	api *autoscaling.Client
}

func newRig(t *testing.T, w *awssim.World, protectsNew bool) *rig {
	t.Helper()
	r := &rig{Cluster: simcluster.New(t, w)}
	r.api = autoscaling.NewFromConfig(w.Config("operator"))
	w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: simcluster.UserData()})
	r.OK(w.PutGroup(awssim.GroupSpec{Name: "workers", Max: 5, Desired: 2, LaunchTemplate: "workers", Tags: simcluster.Tags()}))
	if protectsNew {
		_, err := r.api.UpdateAutoScalingGroup(t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("workers"), NewInstancesProtectedFromScaleIn: aws.Bool(true)})
		r.OK(err)
	}
	bubble.Sleep(5 * time.Minute)
	var ids []string
	for _, in := range w.Instances() {
		ids = append(ids, in.ID)
		n := simcluster.NodeOf(in)
		n.UID = "uid"
		n.Labels[v1alpha1.UnneededSinceLabel], n.Labels[v1alpha1.HeldSinceLabel] = "1", "1"
		n.Labels[v1alpha1.OwnLabelDomain+"/admitted-uid"] = "uid"
		r.AddNode(n)
	}
	r.OK(drain.Mark(t.Context(), r.Client, r.nodes()[0].Name, "", false))
	_, err := r.api.SetInstanceProtection(t.Context(), &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("workers"), InstanceIds: ids, ProtectedFromScaleIn: aws.Bool(true)})
	r.OK(err)
	for name, transition := range map[string]string{"joinery-launch": "LAUNCHING", "joinery-terminate": "TERMINATING", "theirs": "TERMINATING"} {
		_, err := r.api.PutLifecycleHook(t.Context(), &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: aws.String("workers"), LifecycleHookName: &name,
			LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + transition), HeartbeatTimeout: aws.Int32(3600)})
		r.OK(err)
	}
	bubble.Sleep(time.Minute)
	w.ForgetCalls()
	return r
}

func (r *rig) nodes() []corev1.Node {
	list, err := r.Client.CoreV1().Nodes().List(r.T.Context(), metav1.ListOptions{})
	r.OK(err)
	return list.Items
}

func (r *rig) options(named ...v1alpha1.GroupSettings) release.Options {
	cfg := r.Config("operator")
	spec := v1alpha1.ControllerSpec{Cluster: simcluster.Name}
	spec.Autoscaler.Groups = named
	o := release.Options{
		AutoScaling: autoscaling.NewFromConfig(cfg), EC2: ec2.NewFromConfig(cfg), Client: r.Client,
		Cluster: simcluster.Name, Group: "workers", Hooks: []string{"joinery-launch", "joinery-terminate"},
	}
	o.Fleet = awsfleet.New(awsfleet.Options{EC2: o.EC2, AutoScaling: o.AutoScaling, Scope: fleet.ScopeOf(spec)})
	return o
}

// state words what is on the group, its instances and Nodes.
func (r *rig) state() string {
	r.T.Helper()
	bubble.Sleep(time.Minute) // what AWS shows is old under a harsh one
	var out []string
	g, err := r.Group("workers")
	r.OK(err)
	for _, tag := range g.Tags {
		out = append(out, "tag "+tag.Key)
	}
	hooks, err := r.api.DescribeLifecycleHooks(r.T.Context(), &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: aws.String("workers")})
	r.OK(err)
	for _, h := range hooks.LifecycleHooks {
		out = append(out, "hook "+*h.LifecycleHookName)
	}
	for _, m := range g.Members {
		if m.Protected {
			out = append(out, "protected")
		}
	}
	for _, in := range r.Instances() {
		if in.Tags[v1alpha1.ClusterTag] != "" {
			out = append(out, "instance's tag")
		}
	}
	for _, n := range r.nodes() {
		for key := range n.Labels {
			if v1alpha1.OwnLabel(key) {
				out = append(out, "label "+strings.TrimPrefix(key, v1alpha1.OwnLabelDomain+"/"))
			}
		}
		if kube.Marked(&n) || n.Spec.Unschedulable {
			out = append(out, "mark")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func lines(text string) string {
	all := strings.Split(strings.TrimSpace(text), ", ")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// remains is what no release touches, and stays what one for a Cluster Autoscaler leaves.
const (
	remains = "hook theirs, label admitted-uid, label admitted-uid"
	stays   = remains + ", tag k8s.io/cluster-autoscaler/demo, tag k8s.io/cluster-autoscaler/enabled, instance's tag, instance's tag"
)

func TestRelease(t *testing.T) {
	for name, tt := range map[string]struct {
		protectsNew bool
		change      func(*release.Options)
		want        string
	}{
		"for another autoscaler":    {want: stays},
		"altogether":                {change: func(o *release.Options) { o.Leave = true }, want: remains},
		"the group protects itself": {protectsNew: true, want: stays + ", protected, protected"},
		"one without hooks of ours": {change: func(o *release.Options) { o.Hooks = []string{"a", "b"} }, want: stays + ", hook joinery-launch, hook joinery-terminate"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &awssim.World{}, tt.protectsNew)
				o := r.options()
				if tt.change != nil {
					tt.change(&o)
				}
				before := r.state()
				o.DryRun = true
				dry, err := release.Run(t.Context(), o)
				r.OK(err)
				if got := r.state(); got != before {
					t.Errorf("a dry run left\n%s\nof\n%s", got, before)
				}
				o.DryRun = false
				did, err := release.Run(t.Context(), o)
				r.OK(err)
				if !slices.Equal(dry, did) {
					t.Errorf("the dry run told\n%v, the run\n%v", dry, did)
				}
				if got, want := r.state(), lines(tt.want); got != want {
					t.Errorf("left:\n%s\nwant:\n%s", got, want)
				}
				again, err := release.Run(t.Context(), o)
				if err != nil || len(again) != 0 {
					t.Errorf("a second run removed %v: %v", again, err)
				}
			})
		})
	}
}

func TestReleaseRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		named  []v1alpha1.GroupSettings
		change func(*release.Options)
		want   string
	}{
		"an unknown group":     {change: func(o *release.Options) { o.Group = "typo" }, want: "release group typo: AWS knows no such group"},
		"another cluster's":    {change: func(o *release.Options) { o.Cluster = "prod" }, want: `tag joinery:cluster is "demo": expected "prod"`},
		"one that is named":    {named: []v1alpha1.GroupSettings{{Name: "workers"}}, want: "spec.autoscaler.groups names it: remove it there"},
		"one of a named other": {named: []v1alpha1.GroupSettings{{Name: "other"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, &awssim.World{}, false)
				o := r.options(tt.named...)
				if tt.change != nil {
					tt.change(&o)
				}
				before := r.state()
				_, err := release.Run(t.Context(), o)
				if tt.want == "" {
					r.OK(err)
					return
				}
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if got := r.state(); got != before {
					t.Errorf("left\n%s\nof\n%s", got, before)
				}
			})
		})
	}
}

// An instance that a hook holds is the controller's: without the hook AWS would end it, or
// end it without a drain.
func TestReleaseWaitsForHeldInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &awssim.World{}, false)
		_, err := r.api.SetDesiredCapacity(t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("workers"), DesiredCapacity: aws.Int32(3)})
		r.OK(err)
		bubble.Sleep(5 * time.Minute)
		var held *release.HeldError
		if _, err := release.Run(t.Context(), r.options()); !errors.As(err, &held) || len(held.Instances) != 1 || !strings.Contains(held.Error(), "Pending:Wait") {
			t.Fatalf("got %v", err)
		}
		o := r.options()
		o.Force = true
		_, err = release.Run(t.Context(), o)
		r.OK(err)
		if got := r.state(); strings.Contains(got, "hook joinery") {
			t.Errorf("left %s", got)
		}
	})
}

// A controller that still acts on what it saw before protects an instance again. The
// release notices, and ends only when it has stayed released for a while.
func TestReleaseOutlastsAControllerThatActsOnOldAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &awssim.World{}, false)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 4 {
				time.Sleep(7 * time.Second)
				_, _ = r.api.SetInstanceProtection(ctx, &autoscaling.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("workers"),
					InstanceIds: []string{r.Instances()[0].ID}, ProtectedFromScaleIn: aws.Bool(true)})
			}
		}()
		_, err := release.Run(t.Context(), r.options())
		r.OK(err)
		<-done
		if got := r.state(); strings.Contains(got, "protected") {
			t.Errorf("left %s", got)
		}
	})
}

// The answer to a write is lost. The next attempt finds the write done.
func TestReleaseWithLostAnswers(t *testing.T) {
	for _, action := range []string{"DeleteTags", "DeleteLifecycleHook", "SetInstanceProtection"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &awssim.World{}, false)
			defer r.Inject(awssim.Fault{Service: "autoscaling", Action: action, Count: 1, LoseAnswer: true})()
			if _, err := release.Run(t.Context(), r.options()); err != nil {
				t.Errorf("%s: %v", action, err)
			}
			if got, want := r.state(), lines(stays); got != want {
				t.Errorf("%s: left:\n%s\nwant:\n%s", action, got, want)
			}
		})
	}
}
