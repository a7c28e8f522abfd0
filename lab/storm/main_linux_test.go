package storm_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
)

const clusterName = "storm"

// installation is one control-plane node with the controller's defaults, so with
// proofs required.
var installation = sitetest.Shared{
	Within: 8 * time.Minute, // the programs are built in that time too
	Options: site.Options{Cluster: clusterName, Configure: func(s *v1alpha1.ControllerSpec) {
		s.Token.Schedule = "@every 1h"
		s.Token.Overlap = metav1.Duration{Duration: time.Minute}
		s.Autoscaler.ScaleDown.Disabled = true
	}},
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// scene is the cluster as the test sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// put makes or resizes a group; its instances join cluster.
func (s *scene) put(group, cluster string, size int) {
	s.t.Helper()
	data, err := site.NodeUserData(cluster, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
		ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data),
		HTTPTokens: "required", HopLimit: 1,
	})
	err = s.World.PutGroup(awssim.GroupSpec{Name: group, Max: max(size, 1), Desired: size, LaunchTemplate: group, Tags: []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// members waits until a group has that many instances, and returns them.
func (s *scene) members(group string, size int) []awssim.Instance {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		g, err := s.World.Group(group)
		if err == nil && len(g.Members) == size {
			var out []awssim.Instance
			for _, m := range g.Members {
				i, err := s.World.Instance(m.InstanceID)
				if err != nil {
					s.t.Fatal(err)
				}
				out = append(out, i)
			}
			return out
		}
		if time.Now().After(end) {
			s.t.Fatalf("group %s: %v, %v: expected %d members", group, g.Members, err, size)
		}
	}
}

// ready waits until the nodes of all instances are Ready, and returns when the
// last one was, since begin.
func (s *scene) ready(all []awssim.Instance, begin time.Time, limit time.Duration) time.Duration {
	s.t.Helper()
	ctx, cancel := context.WithDeadline(s.t.Context(), begin.Add(limit))
	defer cancel()
	for _, i := range all {
		if _, err := s.Cluster.WaitNode(ctx, i.PrivateDNSName); err != nil {
			s.t.Fatalf("%s: %v", i.PrivateDNSName, err)
		}
	}
	return time.Since(begin)
}

// emptied ends the instances of a group, and waits until none of them has a Node left.
func (s *scene) emptied(group string, were []awssim.Instance) {
	s.t.Helper()
	s.put(group, clusterName, 0)
	for _, i := range were {
		s.World.Terminate(i.ID)
	}
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		left := s.left(were)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("nodes of group %s are left: %s", group, strings.Join(left, ", "))
		}
	}
}

// left are the Nodes of instances that are still there, with the instances' states.
func (s *scene) left(were []awssim.Instance) []string {
	s.t.Helper()
	var left []string
	for _, i := range were {
		n, err := s.Cluster.Client().CoreV1().Nodes().Get(s.t.Context(), i.PrivateDNSName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		state := ""
		if now, err := s.World.Instance(i.ID); err == nil {
			state = string(now.State)
		}
		left = append(left, fmt.Sprintf("%s (instance %s %s, Ready %s, %v)", i.PrivateDNSName, i.ID, state, kube.ReadyStatus(n), err))
	}
	return left
}

// peakMemory is the most memory that the controller had resident, in MiB.
func (s *scene) peakMemory() int {
	s.t.Helper()
	out, err := s.Cluster.Master().Exec(s.t.Context(), "sh", "-c", "grep VmHWM /proc/$(systemctl show --property MainPID --value "+site.ControllerUnit+")/status")
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(out)) // VmHWM: 12345 kB
	if len(fields) != 3 {
		s.t.Fatalf("memory of the controller: %q", out)
	}
	kib, err := strconv.Atoi(fields[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return kib >> 10
}

// calls are how often AWS was asked what.
func (s *scene) calls() map[string]int {
	out := map[string]int{}
	for _, c := range s.World.Calls() {
		out[c.Service+" "+c.Action]++
	}
	return out
}

func describe(calls map[string]int) string {
	return fmt.Sprintf("STS %d, DescribeInstances %d, DescribeAutoScalingGroups %d",
		calls["sts GetCallerIdentity"], calls["ec2 DescribeInstances"], calls["autoscaling DescribeAutoScalingGroups"])
}
