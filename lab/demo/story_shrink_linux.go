package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/image"
)

// deploy makes a Deployment of pods that do nothing and ask for resources.
func (s *story) deploy(ctx context.Context, name string, replicas int32, cpu, memory string) error {
	labels := map[string]string{"app": name}
	grace := int64(1)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{{
					Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever,
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}},
				}}}}},
	}
	if _, err := s.lab.Cluster.Client().AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, d, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create deployment %s: %w", name, err)
	}
	return nil
}

func (s *story) undeploy(ctx context.Context, name string) error {
	background := metav1.DeletePropagationBackground
	err := s.lab.Cluster.Client().AppsV1().Deployments(metav1.NamespaceDefault).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil {
		return fmt.Errorf("delete deployment %s: %w", name, err)
	}
	return nil
}

// neverFits brings a pod larger than any node and waits until it was told why
// no group can help it, and that no group was raised for it.
func neverFits(ctx context.Context, s *story) (map[string]any, error) {
	raised := len(s.seen.succeeded("SetDesiredCapacity"))
	if err := s.deploy(ctx, tooBig, 1, "64", "512Mi"); err != nil {
		return nil, err
	}
	message := ""
	err := await(ctx, "the pod has an Event NotTriggerScaleUp", func(context.Context) (bool, string, error) {
		s.seen.mu.Lock()
		defer s.seen.mu.Unlock()
		for _, e := range s.seen.told {
			if e.Reason == "NotTriggerScaleUp" && strings.HasPrefix(e.InvolvedObject.Name, tooBig+"-") {
				message = e.Message
				return true, "", nil
			}
		}
		return false, "no such Event", nil
	})
	if err != nil {
		return nil, err
	}
	evidence := map[string]any{"message": message}
	if !strings.Contains(strings.ToLower(message), "cpu") {
		return evidence, fmt.Errorf("the Event does not say that the CPU is the reason: %q", message)
	}
	if now := len(s.seen.succeeded("SetDesiredCapacity")); now != raised {
		return evidence, errors.New("the group was raised for a pod that no node can hold")
	}
	return evidence, s.undeploy(ctx, tooBig)
}

// idleNodesGo deletes the pods and waits until the agents have reported their
// nodes idle and the group has shrunk to its minimum.
func idleNodesGo(ctx context.Context, s *story) (map[string]any, error) {
	before := s.members()
	if err := s.undeploy(ctx, workload); err != nil {
		return nil, err
	}
	err := await(ctx, fmt.Sprintf("the group has %d instance", minWorkers), func(context.Context) (bool, string, error) {
		return len(s.members()) == minWorkers, fmt.Sprintf("%d instances, idle by their agents' word: %v", len(s.members()), s.idle()), nil
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"instancesBefore": len(before), "instancesAfter": len(s.members())}, s.checkRemovals(len(before) - minWorkers)
}

// idle returns the workers whose agents say that they may go.
func (s *story) idle() []string {
	s.seen.mu.Lock()
	defer s.seen.mu.Unlock()
	var all []string
	for name, n := range s.seen.nodes {
		if strings.HasPrefix(claim(n), string(corev1.ConditionTrue)) {
			all = append(all, shortName(name))
		}
	}
	slices.Sort(all)
	return all
}

// checkRemovals proves that every removal was a named instance with decrement,
// and that the desired capacity was never written downwards.
func (s *story) checkRemovals(want int) error {
	removed := s.seen.succeeded("TerminateInstanceInAutoScalingGroup")
	if len(removed) != want {
		return fmt.Errorf("%d instances were terminated by name: expected %d", len(removed), want)
	}
	for _, c := range removed {
		if c.Params["ShouldDecrementDesiredCapacity"] != "true" {
			return fmt.Errorf("%s was terminated without decrement", c.Params["InstanceId"])
		}
	}
	drained := 0
	for _, e := range s.seen.timeline.history() {
		if e.Source == "kubernetes" && e.What == "chosen to go, drain begins" {
			drained++
		}
	}
	if drained != want {
		return fmt.Errorf("%d nodes were drained: expected %d", drained, want)
	}
	return nil
}

// nothingUnneededStays waits until the Node objects of the instances that went
// and the superseded tokens are gone.
func nothingUnneededStays(ctx context.Context, s *story) (map[string]any, error) {
	var nodes, secrets []string
	err := await(ctx, "only what is needed is left", func(ctx context.Context) (bool, string, error) {
		nodes, _ = s.seen.workers()
		list, err := s.lab.Cluster.Client().CoreV1().Secrets(metav1.NamespaceSystem).List(ctx,
			metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeBootstrapToken)})
		if err != nil {
			return false, "", err
		}
		secrets = secrets[:0]
		for _, i := range list.Items {
			secrets = append(secrets, i.Name)
		}
		return len(nodes) == minWorkers && len(secrets) == 1, fmt.Sprintf("Nodes %v, tokens %v", nodes, secrets), nil
	})
	if err != nil {
		return nil, err
	}
	all := s.seen.tokens()
	if want := "bootstrap-token-" + all[len(all)-1].id; secrets[0] != want {
		return nil, fmt.Errorf("the token that stayed is %s: expected %s", secrets[0], want)
	}
	return map[string]any{"nodes": nodes, "tokens": secrets}, nil
}
