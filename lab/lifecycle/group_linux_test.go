package lifecycle_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/site"
)

// The groups, one for each test.
const (
	launching   = "launching"   // held until they are Ready
	doomed      = "doomed"      // want another cluster, and never join
	terminating = "terminating" // held until they are drained
	warm        = "warm"        // with a warm pool
	labelled    = "labelled"    // declare labels that no kubelet may set
	old         = "old"         // with old user data
)

// The hooks by their default names, and how long they wait.
const (
	launchHook, terminateHook = "joinery-launch", "joinery-terminate"
	heartbeat                 = 30 * time.Second
)

const (
	// launched is how long an instance may take to become a Ready Node on a busy
	// computer; every step that follows has it too.
	launched = 90 * time.Second
	// groupLabel tells the nodes of one group from others'.
	groupLabel = "example.com/group"
	// roleLabel and tierLabel are declared in a NodeConfig, masterLabel in a tag.
	roleLabel, tierLabel = "node-role.kubernetes.io/worker", "example.node-restriction.kubernetes.io/tier"
	masterLabel          = "node-role.kubernetes.io/control-plane"
	templateLabel        = "k8s.io/cluster-autoscaler/node-template/label/"
)

// oldUserData is no NodeConfig: the agent of the common image finds nothing to
// do. The test is what runs such a script.
const oldUserData = "#!/bin/sh\nkubeadm join --token \"$(aws ssm get-parameter --name " + legacyParameter + " …)\" …\n"

// makeGroups makes all groups, empty, with their hooks.
func (s *scene) makeGroups() error {
	elsewhere, err := site.NodeUserData("elsewhere", nil)
	if err != nil {
		return err
	}
	data := map[string][]byte{doomed: elsewhere, old: []byte(oldUserData)}
	for _, group := range []string{launching, terminating, warm, labelled} {
		labels := map[string]string{groupLabel: group}
		if group == labelled {
			labels[roleLabel], labels[tierLabel] = "", "gold"
		}
		if data[group], err = site.NodeUserData(clusterName, labels); err != nil {
			return err
		}
	}
	for group, text := range data {
		if err := s.makeGroup(group, text); err != nil {
			return err
		}
	}
	for group, hooks := range map[string][]string{launching: {launchHook}, doomed: {launchHook}, terminating: {terminateHook}, warm: {launchHook, terminateHook}} {
		for _, hook := range hooks {
			if err := s.putHook(group, hook); err != nil {
				return err
			}
		}
	}
	// The first hooks of a cluster are seen within five minutes, or at a start.
	_, err = s.Cluster.Master().Exec(s.t.Context(), "systemctl", "restart", site.ControllerUnit)
	return err
}

func (s *scene) makeGroup(name string, data []byte) error {
	s.World.PutLaunchTemplate(name, awssim.LaunchTemplateData{
		ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data),
		HTTPTokens: "required", HopLimit: 1,
	})
	tags := []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
	}
	if name == labelled {
		tags = append(tags, awssim.Tag{Key: templateLabel + masterLabel, Value: ""})
	}
	return s.World.PutGroup(awssim.GroupSpec{Name: name, Max: 2, LaunchTemplate: name, Tags: tags})
}

func (s *scene) operator() *autoscaling.Client {
	return autoscaling.NewFromConfig(s.World.Config("operator"))
}

func (s *scene) putHook(group, name string) error {
	transition, result := "autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON"
	if name == terminateHook {
		transition, result = "autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE"
	}
	_, err := s.operator().PutLifecycleHook(s.t.Context(), &autoscaling.PutLifecycleHookInput{
		AutoScalingGroupName: &group, LifecycleHookName: &name, LifecycleTransition: &transition, DefaultResult: &result,
		HeartbeatTimeout: aws.Int32(int32(heartbeat / time.Second)),
	})
	return err
}

// want sets the group's desired capacity, as an operator does.
func (s *scene) want(group string, n int32) {
	s.t.Helper()
	_, err := s.operator().SetDesiredCapacity(s.t.Context(), &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &group, DesiredCapacity: &n})
	if err != nil {
		s.t.Fatal(err)
	}
}

// members are the group's instances with their lifecycle states.
func (s *scene) members(group string) []awssim.Member {
	s.t.Helper()
	g, err := s.World.Group(group)
	if err != nil {
		s.t.Fatal(err)
	}
	return g.Members
}

// launched waits until a group has so many members, which takes a harsh AWS some seconds,
// and returns them.
func (s *scene) launched(group string, n int) []awssim.Member {
	s.t.Helper()
	for range 300 {
		if all := s.members(group); len(all) >= n {
			return all
		}
		time.Sleep(100 * time.Millisecond)
	}
	return s.members(group)
}

// launch makes an empty group have n instances, and returns them.
func (s *scene) launch(group string, n int32) []awssim.Instance {
	s.t.Helper()
	s.want(group, n)
	var out []awssim.Instance
	for _, m := range s.launched(group, int(n)) {
		out = append(out, s.instance(m.InstanceID))
	}
	if len(out) != int(n) {
		s.t.Fatalf("group %s has %d instances: expected %d", group, len(out), n)
	}
	return out
}

func (s *scene) instance(id string) awssim.Instance {
	s.t.Helper()
	i, err := s.World.Instance(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}

// state is the lifecycle state of a group's instance; empty when it has none.
func (s *scene) state(group, id string) string {
	s.t.Helper()
	for _, m := range s.members(group) {
		if m.InstanceID == id {
			return m.Lifecycle
		}
	}
	return ""
}

// awaitState waits until the instance has the state, and returns those before it.
func (s *scene) awaitState(i awssim.Instance, want string, limit time.Duration) []string {
	s.t.Helper()
	return s.await("instance "+i.ID+" is "+want, limit, func(context.Context) (string, bool) {
		got := s.state(i.Group, i.ID)
		return got, got == want
	})
}

func (s *scene) machine(i awssim.Instance) *machine.Machine {
	s.t.Helper()
	m, ok := s.Host.Machine(i.ID)
	if !ok {
		s.t.Fatalf("instance %s has no machine", i.ID)
	}
	return m
}

// node returns the Node of an instance; nil for none.
func (s *scene) node(i awssim.Instance) *corev1.Node {
	s.t.Helper()
	n, err := s.Cluster.Client().CoreV1().Nodes().Get(s.t.Context(), i.PrivateDNSName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// readySince is since when the instance's Node is Ready, in whole seconds; zero if
// it is not.
func (s *scene) readySince(i awssim.Instance) time.Time {
	s.t.Helper()
	n := s.node(i)
	if n == nil {
		return time.Time{}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

func (s *scene) awaitReady(i awssim.Instance) {
	s.t.Helper()
	s.await("Node of "+i.ID+" is Ready", launched, func(context.Context) (string, bool) {
		ready := !s.readySince(i).IsZero()
		return fmt.Sprint(ready), ready
	})
}

// answers are the calls by which a hook of the instance was completed, and
// heartbeats those by which it was extended.
func (s *scene) answers(id string) []awssim.Call { return s.calls("CompleteLifecycleAction", id) }

func (s *scene) heartbeats(id string) []awssim.Call {
	return s.calls("RecordLifecycleActionHeartbeat", id)
}

func (s *scene) calls(action, id string) []awssim.Call {
	return slices.DeleteFunc(s.World.CallsTo("autoscaling", action), func(c awssim.Call) bool { return c.Params["InstanceId"] != id || c.Error != "" })
}

// answered wants the controller to have completed the instance's hooks with these
// results, as "<hook> <result>", and nobody else; it returns the calls.
func (s *scene) answered(id string, want ...string) []awssim.Call {
	s.t.Helper()
	var got []string
	calls := s.answers(id)
	for _, c := range calls {
		got = append(got, c.Params["LifecycleHookName"]+" "+c.Params["LifecycleActionResult"])
		if c.Principal != site.ControllerRole || c.Session != s.Cluster.Master().ID() {
			s.t.Errorf("hook of %s was answered by %s of %s", id, c.Session, c.Principal)
		}
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("instance %s: got answers %q: expected %q", id, got, want)
	}
	return calls
}

// told waits for an event that holds all these texts.
func (s *scene) told(kind, reason string, texts ...string) {
	s.t.Helper()
	s.await("event "+reason, 15*time.Second, func(ctx context.Context) (string, bool) {
		all, err := s.Cluster.Client().CoreV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "reason=" + reason + ",type=" + kind})
		if err != nil {
			return err.Error(), false
		}
		var seen []string
		for _, e := range all.Items {
			message := e.InvolvedObject.Kind + " " + e.InvolvedObject.Name + ": " + e.Message
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(message, text) }) {
				return message, true
			}
			seen = append(seen, message)
		}
		return strings.Join(seen, "\n"), false
	})
}
