package lifecycle_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
)

const replicas = 3

// deploy runs pods that do nothing on the group's nodes. They keep their budget:
// one of them may be away at a time.
func (s *scene) deploy(name, group string) {
	s.t.Helper()
	labels, grace, one := map[string]string{"app": name}, int64(1), intstr.FromInt32(1)
	meta := metav1.ObjectMeta{Name: name, Labels: labels}
	d := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Replicas: aws.Int32(replicas), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace, NodeSelector: map[string]string{groupLabel: group},
			Containers: []corev1.Container{{Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever}},
		}},
	}}
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: meta, Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
	}}
	client := s.Cluster.Client()
	if _, err := client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Create(s.t.Context(), budget, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := client.AppsV1().Deployments(metav1.NamespaceDefault).Create(s.t.Context(), d, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// pods counts the Deployment's running pods by their nodes.
func (s *scene) pods(ctx context.Context, name string) (map[string]int, error) {
	all, err := s.Cluster.Client().CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, p := range all.Items {
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
			out[p.Spec.NodeName]++
		}
	}
	return out, nil
}

func (s *scene) terminate(i awssim.Instance) {
	s.t.Helper()
	_, err := s.operator().TerminateInstanceInAutoScalingGroup(s.t.Context(), &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: &i.ID, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	if err != nil {
		s.t.Fatal(err)
	}
}

// An instance that its group ends is held until its pods run elsewhere.
func TestTerminateHookDrains(t *testing.T) {
	s := open(t)
	pair := s.launch(terminating, 2)
	for _, i := range pair {
		s.awaitReady(i)
	}
	s.deploy("moving", terminating)
	s.await("the pods run on both", launched, func(ctx context.Context) (string, bool) {
		on, err := s.pods(ctx, "moving")
		return fmt.Sprint(on, err), on[pair[0].PrivateDNSName]+on[pair[1].PrivateDNSName] == replicas
	})
	on, err := s.pods(t.Context(), "moving")
	if err != nil {
		t.Fatal(err)
	}
	leaves, stays := pair[0], pair[1]
	if on[leaves.PrivateDNSName] < on[stays.PrivateDNSName] {
		leaves, stays = stays, leaves
	}
	s.terminate(leaves)
	early, marked := false, false
	states := s.await("instance "+leaves.ID+" is gone", 2*launched, func(ctx context.Context) (string, bool) {
		state := s.state(terminating, leaves.ID) // before the pods: these only get fewer
		if n := s.node(leaves); n != nil && slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "ToBeDeletedByClusterAutoscaler" }) {
			marked = marked || n.Spec.Unschedulable
		}
		on, err := s.pods(ctx, "moving")
		early = early || err == nil && state != "Terminating:Wait" && on[leaves.PrivateDNSName] > 0
		return state, state == ""
	})
	if !slices.Contains(states, "Terminating:Wait") || early || !marked {
		t.Errorf("states %q, ended before its pods had left: %t, Node marked and cordoned: %t", states, early, marked)
	}
	s.answered(leaves.ID, terminateHook+" CONTINUE")
	s.told(corev1.EventTypeNormal, "LifecycleContinue", "Node "+leaves.PrivateDNSName, "instance "+leaves.ID, "Drained")
	s.await("the pods run on the other", launched, func(ctx context.Context) (string, bool) {
		on, err := s.pods(ctx, "moving")
		return fmt.Sprint(on, err), on[stays.PrivateDNSName] == replicas
	})
	s.await("its Node is gone", launched, func(context.Context) (string, bool) {
		n := s.node(leaves)
		return fmt.Sprint(n != nil), n == nil
	})
	if i := s.instance(leaves.ID); i.State != awssim.Terminated {
		t.Errorf("instance is %s", i.State)
	}
	if _, ok := s.Host.Machine(leaves.ID); ok {
		t.Error("it has a machine still")
	}
}
