package companions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// members are the group's instances that are not terminating.
func (s *scene) members() (all []awssim.Instance) {
	return slices.DeleteFunc(s.World.Instances(), func(i awssim.Instance) bool {
		return i.Group != group || i.State == awssim.ShuttingDown || i.State == awssim.Terminated
	})
}

// workers returns the Nodes of the group's instances that are Ready, and how many there
// are in all.
func (s *scene) workers(ctx context.Context) (ready []string, all int, err error) {
	list, err := s.Cluster.Client().CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!" + kube.ControlPlaneLabel})
	if err != nil {
		return nil, 0, err
	}
	for _, n := range list.Items {
		if slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			ready = append(ready, n.Name)
		}
	}
	slices.Sort(ready)
	return ready, len(list.Items), nil
}

// pods returns the pods of a workload that are not terminating.
func (s *scene) pods(ctx context.Context, workload string) ([]corev1.Pod, error) {
	list, err := s.Cluster.Client().CoreV1().Pods(metav1.NamespaceDefault).List(ctx, metav1.ListOptions{LabelSelector: "app=" + workload})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil }), nil
}

// unschedulable reports whether the scheduler has found no place for a pod.
func unschedulable(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// measured returns the nodes that the resource metrics API has figures of.
func (s *scene) measured(ctx context.Context) (nodes []string, err error) {
	var list struct {
		Items []struct {
			Metadata metav1.ObjectMeta
			Usage    corev1.ResourceList
		}
	}
	if err := s.get(ctx, "/apis/metrics.k8s.io/v1beta1/nodes", &list); err != nil {
		return nil, err
	}
	for _, n := range list.Items {
		if !n.Usage.Cpu().IsZero() && !n.Usage.Memory().IsZero() {
			nodes = append(nodes, n.Metadata.Name)
		}
	}
	slices.Sort(nodes)
	return nodes, nil
}

// get reads an object of an API that this module has no types of.
func (s *scene) get(ctx context.Context, path string, into any) error {
	text, err := s.Cluster.Client().Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return json.Unmarshal(text, into)
}

// writes returns what the controller has asked of the group.
func (s *scene) writes() (raised, terminated []awssim.Call) {
	for _, c := range s.World.Calls() {
		switch {
		case c.Error != "":
		case c.Action == "SetDesiredCapacity":
			raised = append(raised, c)
		case c.Action == "TerminateInstanceInAutoScalingGroup":
			terminated = append(terminated, c)
		}
	}
	return raised, terminated
}

// awaitMinimum waits until the group is at its minimum again, with its Node, and checks
// that every removal since the first n was of a named instance, with decrement.
func (s *scene) awaitMinimum(n int) {
	s.t.Helper()
	s.await("the group is at its minimum", shrinks, func(ctx context.Context) (string, bool) {
		ready, all, err := s.workers(ctx)
		members := len(s.members())
		return fmt.Sprintf("%d instances, %d Nodes, %d Ready: %v", members, all, len(ready), err), members == minWorkers && all == minWorkers && len(ready) == minWorkers
	})
	_, terminated := s.writes()
	for _, c := range terminated[n:] {
		if c.Params["ShouldDecrementDesiredCapacity"] != "true" || !strings.HasPrefix(c.Params["InstanceId"], "i-") {
			s.t.Errorf("removed by %v: expected a named instance, with decrement", c.Params)
		}
	}
	if len(terminated) == n {
		s.t.Error("the group shrank without the controller")
	}
}
