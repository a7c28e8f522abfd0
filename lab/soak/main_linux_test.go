package soak_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/iam"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
	"github.com/joinery/joinery/lab/soak/invariant"
)

const (
	clusterName = "soak"
	// The groups: one like any other, one whose nodes have a taint, and one with hooks
	// and a warm pool.
	plain, tainted, warm = "plain", "tainted", "warm"
	// groupLabel is a label of the nodes of each group, its name in it.
	groupLabel, dedicated = "soak.example/group", "soak.example/dedicated"
	queueName             = "joinery-soak"
	heartbeat             = 60 * time.Second
)

var (
	groups = []awssim.GroupSpec{{Name: plain, Min: 1, Max: 4}, {Name: tainted, Max: 2}, {Name: warm, Min: 1, Max: 2}}
	// hooks are those of the group warm, with their transitions.
	hooks = map[string]string{"joinery-launch": "autoscaling:EC2_INSTANCE_LAUNCHING", "joinery-terminate": "autoscaling:EC2_INSTANCE_TERMINATING"}
)

// installation has three control-plane nodes with the controller's defaults, but for
// waiting times of which many fit into half an hour.
var installation = sitetest.Shared{
	Within: 8 * time.Minute, // the programs are built in that time too
	Options: site.Options{Cluster: clusterName, Masters: 3, Configure: func(s *v1alpha1.ControllerSpec) {
		s.Token.Schedule = "@every 5m"
		s.Token.Overlap = metav1.Duration{Duration: time.Minute}
		s.Lifecycle.JoinTimeout = metav1.Duration{Duration: 2 * time.Minute}
		s.Lifecycle.WarmUp = metav1.Duration{Duration: 5 * time.Second}
		s.Lifecycle.DrainTimeout = metav1.Duration{Duration: time.Minute}
		s.Lifecycle.QueueURL = "https://sqs.us-west-2.amazonaws.com/123456789012/" + queueName
		s.Autoscaler.ProvisionTimeout = metav1.Duration{Duration: 2 * time.Minute}
		d := &s.Autoscaler.ScaleDown
		d.IdleDelay = metav1.Duration{Duration: 10 * time.Second}
		d.UnneededTime = metav1.Duration{Duration: 30 * time.Second}
		d.DelayAfterAdd = metav1.Duration{Duration: 20 * time.Second}
		d.DelayAfterFailure = metav1.Duration{Duration: 20 * time.Second}
		d.DrainTimeout = metav1.Duration{Duration: time.Minute}
		d.UnreadyTime = metav1.Duration{Duration: 45 * time.Second}
	}},
	Populate: func(t *testing.T, s *site.Site) error { return newScene(t, s).populate() },
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// scene is the cluster as the storm sees it.
type scene struct {
	*site.Site
	t *testing.T
	// begin is when the storm began, in nanoseconds since 1970.
	begin atomic.Int64

	mu     sync.Mutex // guards all below
	latest *invariant.Snapshot
	kept   map[string]string // instance -> why it must stay
	struck map[string]bool   // instances that a fault was done to
	doing  map[string]string // lane -> what is being done
}

func newScene(t *testing.T, s *site.Site) *scene {
	c := &scene{Site: s, t: t, kept: map[string]string{}, struck: map[string]bool{}, doing: map[string]string{}}
	c.begin.Store(time.Now().UnixNano())
	return c
}

// into says how far the storm was at a time.
func (s *scene) into(at time.Time) time.Duration { return at.Sub(time.Unix(0, s.begin.Load())) }

// say logs what happens, with its time.
func (s *scene) say(format string, args ...any) {
	s.t.Logf("%7.1f s: %s", s.into(time.Now()).Seconds(), fmt.Sprintf(format, args...))
}

func (s *scene) autoscaling() *autoscaling.Client {
	return autoscaling.NewFromConfig(s.World.Config("operator"))
}
func (s *scene) ec2() *ec2.Client { return ec2.NewFromConfig(s.World.Config("operator")) }
func (s *scene) ssm() *ssm.Client { return ssm.NewFromConfig(s.World.Config("operator")) }

// populate makes the queue of events and the groups at their minimum, and has the
// controllers see them at once.
func (s *scene) populate() error {
	s.World.CreateQueue(queueName)
	s.World.RouteLifecycleEvents(queueName)
	s.World.RouteStateChanges(queueName)
	policy, err := iam.Queue(iam.Values{Partition: s.World.Partition(), Region: site.Region, Account: "123456789012", Cluster: clusterName}, queueName)
	if err != nil {
		return err
	}
	if err := s.World.AttachPolicy(site.ControllerRole, policy); err != nil {
		return err
	}
	for _, g := range groups {
		if err := s.makeGroup(g); err != nil {
			return err
		}
	}
	for _, m := range s.Cluster.Masters() {
		if _, err := m.Machine.Exec(s.t.Context(), "systemctl", "restart", site.ControllerUnit); err != nil {
			return err
		}
	}
	return nil
}

func (s *scene) makeGroup(g awssim.GroupSpec) error {
	data, err := userData(g.Name)
	if err != nil {
		return err
	}
	s.putTemplate(g.Name, data)
	g.LaunchTemplate, g.LaunchTemplateVersion = g.Name, "$Latest"
	g.Tags = []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
	}
	if g.Name == warm {
		// The group is empty at first, so that no instance misses the hooks.
		empty := g
		empty.Min = 0
		if err := s.World.PutGroup(empty); err != nil {
			return err
		}
		for name := range hooks {
			if err := s.putHook(s.t.Context(), name); err != nil {
				return err
			}
		}
		g.WarmPool = &awssim.WarmPool{MinSize: 1, MaxPrepared: 2}
	}
	g.Desired = g.Min
	return s.World.PutGroup(g)
}

// userData is what instances of a group start with.
func userData(group string) ([]byte, error) {
	labels := map[string]string{groupLabel: group}
	if group != tainted {
		return site.NodeUserData(clusterName, labels)
	}
	return site.NodeUserData(clusterName, labels, corev1.Taint{Key: dedicated, Effect: corev1.TaintEffectNoSchedule})
}

// putTemplate makes a new version of a group's launch template.
func (s *scene) putTemplate(group string, data []byte) {
	s.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
		ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", RoleName: site.NodeRole,
		UserData: base64.StdEncoding.EncodeToString(data), HTTPTokens: "required", HopLimit: 1,
	})
}

func (s *scene) putHook(ctx context.Context, name string) error {
	result := "CONTINUE"
	if name == "joinery-launch" {
		result = "ABANDON"
	}
	_, err := s.autoscaling().PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: aws.String(warm), LifecycleHookName: &name, LifecycleTransition: aws.String(hooks[name]),
		DefaultResult: &result, HeartbeatTimeout: aws.Int32(int32(heartbeat / time.Second)),
	})
	return err
}

// isWorker says whether an instance is one of the groups'.
func isWorker(i awssim.Instance) bool { return i.Group != "" }

// masters are the control-plane instances with the names of their Nodes.
func (s *scene) masters() map[string]string {
	all := map[string]string{}
	for _, m := range s.Cluster.Masters() {
		all[m.Machine.ID()] = m.NodeName
	}
	return all
}

// tokenGood says why nobody could join with what is published.
func (s *scene) tokenGood(ctx context.Context) error {
	b, err := s.Published(ctx)
	if err != nil {
		return err
	}
	if left := time.Until(b.ExpiresAt); left < v1alpha1.MinBundleLife {
		return fmt.Errorf("the published token has %s left", left)
	}
	_, err = s.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, kube.BootstrapTokenSecretName(b.TokenID()), metav1.GetOptions{})
	return err
}
