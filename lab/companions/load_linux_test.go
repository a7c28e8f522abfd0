package companions_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	web = "web"
	// Three pods of webCPU fill a node. At perPod each, the load wants more
	// than mostPods.
	webCPU, perPod = "600m", "50m"
	mostPods       = 8
	// measures is how long metrics take to begin: metrics-server starts, kubelets look
	// at cgroups every 10 s, and a rate needs two looks. scales adds kube-controller-
	// manager's own pace, grows an instance's boot, shrinks the drains.
	measures, scales, grows, shrinks = 4 * time.Minute, 4 * time.Minute, 4 * time.Minute, 5 * time.Minute
)

// TestLoadGrowsAndShrinks: load on a Deployment makes the HPA scale it, its pods find no
// place, the group grows; the load ends, the HPA scales back, and the group is at its
// minimum again.
func TestLoadGrowsAndShrinks(t *testing.T) {
	s := &scene{installation.Open(t), t}
	s.deploy(web, 1, webCPU)
	s.scale(web)
	s.awaitMeasured()

	_, terminated := s.writes()
	stop := s.load(web)
	defer stop()
	waited := s.awaitScaled()
	if len(waited) == 0 {
		t.Error("every pod found a place before the group had grown")
	}
	if raised, _ := s.writes(); len(raised) == 0 {
		t.Error("the group grew without the controller")
	}
	s.awaitMeasured()

	stop()
	s.await("the HPA has scaled back", scales, func(ctx context.Context) (string, bool) {
		h, err := s.hpa(ctx, web)
		return status(h, err), err == nil && h.Status.CurrentReplicas == 1
	})
	s.awaitMinimum(len(terminated))
	if pods, err := s.pods(t.Context(), web); err != nil || len(pods) != 1 || !ready(pods[0]) {
		t.Errorf("the pod that stays: %v, %v", pods, err)
	}
	s.undeploy(web)
}

// scale gives a Deployment an HPA by the processor time of its pods, which scales back
// soon.
func (s *scene) scale(name string) {
	s.t.Helper()
	soon, amount := int32(10), resource.MustParse(perPod)
	all := autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}
	hpas := s.Cluster.Client().AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceDefault)
	_, err := hpas.Create(s.t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, MaxReplicas: mostPods,
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
				Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &amount}}}},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{
				StabilizationWindowSeconds: &soon, Policies: []autoscalingv2.HPAScalingPolicy{all}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := hpas.Delete(context.WithoutCancel(s.t.Context()), name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
}

func (s *scene) hpa(ctx context.Context, name string) (*autoscalingv2.HorizontalPodAutoscaler, error) {
	return s.Cluster.Client().AutoscalingV2().HorizontalPodAutoscalers(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
}

// active reports whether an HPA has a figure to scale by.
func active(h *autoscalingv2.HorizontalPodAutoscaler) bool {
	return slices.ContainsFunc(h.Status.Conditions, func(c autoscalingv2.HorizontalPodAutoscalerCondition) bool {
		return c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue
	})
}

// status is what an HPA says of itself, for people.
func status(h *autoscalingv2.HorizontalPodAutoscaler, err error) string {
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%d pods, %d wanted", h.Status.CurrentReplicas, h.Status.DesiredReplicas)
	for _, m := range h.Status.CurrentMetrics {
		if m.Resource != nil && m.Resource.Current.AverageValue != nil {
			text += ", " + m.Resource.Current.AverageValue.String() + " each"
		}
	}
	for _, c := range h.Status.Conditions {
		if c.Type == autoscalingv2.ScalingActive && c.Status != corev1.ConditionTrue {
			text += ": " + c.Message
		}
	}
	return text
}

// awaitMeasured waits until the HPA has a figure, and the metrics API has one of every
// worker: its kubelet's serving certificate was verified then.
func (s *scene) awaitMeasured() {
	s.t.Helper()
	s.await("every worker is measured", measures, func(ctx context.Context) (string, bool) {
		h, err := s.hpa(ctx, web)
		if err != nil || !active(h) {
			return status(h, err), false
		}
		workers, _, err := s.workers(ctx)
		if err != nil {
			return err.Error(), false
		}
		nodes, err := s.measured(ctx)
		return fmt.Sprintf("workers %v, measured %v, %v", workers, nodes, err), err == nil && len(workers) > 0 && slices.Equal(nodes, workers)
	})
}

// awaitScaled waits until the HPA has scaled the Deployment to its most, and all pods
// run. It returns the pods that waited for a node.
func (s *scene) awaitScaled() map[string]bool {
	s.t.Helper()
	waited := map[string]bool{}
	s.await("the load's pods run", scales+grows, func(ctx context.Context) (string, bool) {
		h, err := s.hpa(ctx, web)
		if err != nil {
			return err.Error(), false
		}
		pods, err := s.pods(ctx, web)
		if err != nil {
			return err.Error(), false
		}
		running := 0
		for _, p := range pods {
			if unschedulable(p) {
				waited[p.Name] = true
			}
			if ready(p) {
				running++
			}
		}
		workers, _, err := s.workers(ctx)
		return fmt.Sprintf("%s; %d run on %d workers: %v", status(h, nil), running, len(workers), err), running == mostPods && err == nil
	})
	return waited
}
