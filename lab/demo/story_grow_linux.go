package demo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
)

// tokenPublished waits for the first bundle in SSM and its Secret.
func tokenPublished(ctx context.Context, s *story) (map[string]any, error) {
	var put []awssim.Call
	err := await(ctx, "the controller has published a join bundle", func(context.Context) (bool, string, error) {
		put = s.seen.succeeded("PutParameter")
		return len(put) > 0 && len(s.seen.tokens()) > 0, fmt.Sprintf("%d writes to SSM, %d tokens", len(put), len(s.seen.tokens())), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"parameter": put[0].Params["Name"], "writer": put[0].Principal, "tokenID": s.seen.tokens()[0].id}, nil
}

// firstNodeJoins makes the launch template and the group as an operator would,
// with one instance desired, and waits for its Node.
func firstNodeJoins(ctx context.Context, s *story) (map[string]any, error) {
	data, err := site.NodeUserData(Cluster, map[string]string{"joinery.dev/pool": group})
	if err != nil {
		return nil, err
	}
	s.lab.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: workerType,
		RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data), HTTPTokens: "required", HopLimit: 1})
	client := autoscaling.NewFromConfig(s.lab.World.Config("operator"))
	_, err = client.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{
		AutoScalingGroupName: aws.String(group), MinSize: aws.Int32(minWorkers), MaxSize: aws.Int32(maxWorkers), DesiredCapacity: aws.Int32(1),
		LaunchTemplate:    &astypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String(group), Version: aws.String("$Latest")},
		AvailabilityZones: []string{site.Region + "a", site.Region + "b"},
		Tags: []astypes.Tag{groupTag(v1alpha1.ClusterTag, Cluster, true), groupTag("k8s.io/cluster-autoscaler/enabled", "true", false),
			groupTag("k8s.io/cluster-autoscaler/"+Cluster, "owned", false)},
	})
	if err != nil {
		return nil, fmt.Errorf("create group: %w", err)
	}
	node, err := s.awaitReady(ctx, 1)
	if err != nil {
		return nil, err
	}
	s.facts.Nodes.Start = len(node)
	return map[string]any{"nodes": node}, s.checkIdentities()
}

func groupTag(key, value string, propagate bool) astypes.Tag {
	return astypes.Tag{Key: aws.String(key), Value: aws.String(value), PropagateAtLaunch: aws.Bool(propagate),
		ResourceId: aws.String(group), ResourceType: aws.String("auto-scaling-group")}
}

// awaitReady waits until at least n workers are Ready and returns their names.
func (s *story) awaitReady(ctx context.Context, n int) ([]string, error) {
	var up []string
	err := await(ctx, fmt.Sprintf("%d workers are Ready", n), func(context.Context) (bool, string, error) {
		var registered []string
		registered, up = s.seen.workers()
		return len(up) >= n, fmt.Sprintf("%d registered, %d Ready, %d instances", len(registered), len(up), len(s.members())), nil
	})
	slices.Sort(up)
	return up, err
}

// members returns the group's instances that are not on their way out.
func (s *story) members() []awssim.Instance {
	return slices.DeleteFunc(s.lab.World.Instances(), func(i awssim.Instance) bool {
		return i.Group != group || i.State == awssim.ShuttingDown || i.State == awssim.Terminated
	})
}

// checkIdentities compares every worker with the instance that it claims to be.
func (s *story) checkIdentities() error {
	byName := map[string]awssim.Instance{}
	for _, i := range s.members() {
		byName[i.PrivateDNSName] = i
	}
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	var wrong []error
	for name, n := range s.seen.nodes {
		i, known := byName[name]
		if want := fmt.Sprintf("aws:///%s/%s", i.Zone, i.ID); !known || n.Spec.ProviderID != want {
			wrong = append(wrong, fmt.Errorf("node %s has provider id %q: expected %q", name, n.Spec.ProviderID, want))
		}
		if cpu := n.Status.Capacity.Cpu().Value(); known && cpu != int64(i.VCPUs) {
			wrong = append(wrong, fmt.Errorf("node %s reports %d CPUs: its instance type has %d", name, cpu, i.VCPUs))
		}
	}
	return errors.Join(wrong...)
}

// podsMakeTheGroupGrow brings the pods and waits for the controller's request.
func podsMakeTheGroupGrow(ctx context.Context, s *story) (map[string]any, error) {
	s.facts.Pods.Wanted = wantedPods
	before := len(s.members())
	if err := s.deploy(ctx, workload, wantedPods, "500m", "512Mi"); err != nil {
		return nil, err
	}
	var grown []awssim.Call
	err := await(ctx, "the controller has raised the group", func(context.Context) (bool, string, error) {
		grown = s.seen.succeeded("SetDesiredCapacity")
		return len(grown) > 0, fmt.Sprintf("%d pods seen", len(s.seen.podsOf(workload))), nil
	})
	if err != nil {
		return nil, err
	}
	pending := s.seen.firstUnschedulable(s.seen.podsOf(workload))
	if pending.IsZero() {
		return nil, errors.New("the group was raised before any pod was seen to be unschedulable")
	}
	latency := grown[0].Time.Sub(pending)
	s.facts.Latency.PendingToDesiredSeconds = seconds(latency)
	evidence := map[string]any{"desired": grown[0].Params["DesiredCapacity"], "by": grown[0].Principal,
		"instancesBefore": before, "pendingToDesiredSeconds": seconds(latency)}
	if latency > maxPending {
		return evidence, fmt.Errorf("from unschedulable to SetDesiredCapacity: %s: expected at most %s", latency, maxPending)
	}
	return evidence, nil
}

// tokenRotatesDuringBoot has the token rotated while an instance boots, and
// waits until that instance is a Ready node all the same.
func tokenRotatesDuringBoot(ctx context.Context, s *story) (map[string]any, error) {
	var booting awssim.Instance
	err := await(ctx, "an instance boots that is no Node yet", func(context.Context) (bool, string, error) {
		registered, _ := s.seen.workers()
		for _, i := range s.members() {
			if !slices.Contains(registered, i.PrivateDNSName) {
				booting = i
				return true, "", nil
			}
		}
		return false, fmt.Sprintf("%d instances, %d Nodes", len(s.members()), len(registered)), nil
	})
	if err != nil {
		return nil, err
	}
	old := s.seen.tokens()
	if _, err := s.lab.Cluster.Master().Exec(ctx, "systemctl", "reload", site.ControllerUnit); err != nil {
		return nil, fmt.Errorf("ask for a rotation: %w", err)
	}
	err = await(ctx, "a new token is published", func(context.Context) (bool, string, error) {
		return len(s.seen.tokens()) > len(old) && len(s.seen.succeeded("PutParameter")) > 1, fmt.Sprintf("%d tokens", len(s.seen.tokens())), nil
	})
	if err != nil {
		return nil, err
	}
	rotated := s.seen.tokens()[len(old)]
	registered, ready, err := s.awaitNode(ctx, booting.PrivateDNSName)
	if err != nil {
		return nil, err
	}
	evidence := map[string]any{"instance": booting.ID, "launched": booting.LaunchTime, "rotated": rotated.at, "registered": registered, "ready": ready,
		"oldToken": old[len(old)-1].id, "newToken": rotated.id}
	if !booting.LaunchTime.Before(rotated.at) || !rotated.at.Before(registered) {
		return evidence, errors.New("the rotation did not fall between the launch and the join")
	}
	return evidence, nil
}

// awaitNode waits until the worker is Ready and returns when it was first seen
// to be registered and to be Ready.
func (s *story) awaitNode(ctx context.Context, name string) (registered, ready time.Time, err error) {
	err = await(ctx, "node "+name+" is Ready", func(context.Context) (bool, string, error) {
		s.seen.mu.Lock()
		defer s.seen.mu.Unlock()
		var up bool
		registered = s.seen.registered[name]
		ready, up = s.seen.ready[name]
		return up, fmt.Sprintf("registered: %t", !registered.IsZero()), nil
	})
	return registered, ready, err
}

// allPodsRun waits until every pod of the Deployment runs on a Ready worker.
func allPodsRun(ctx context.Context, s *story) (map[string]any, error) {
	where := map[string]int{}
	err := await(ctx, fmt.Sprintf("%d pods run", wantedPods), func(context.Context) (bool, string, error) {
		clear(where)
		running := 0
		for _, p := range s.seen.podsOf(workload) {
			if p.Status.Phase == corev1.PodRunning {
				running++
				where[shortName(p.Spec.NodeName)]++
			}
		}
		s.facts.Pods.Ran = running
		return running == wantedPods, fmt.Sprintf("%d run", running), nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.awaitReady(ctx, len(s.members())); err != nil {
		return nil, err
	}
	return map[string]any{"podsPerNode": where, "instances": len(s.members())}, s.checkIdentities()
}
