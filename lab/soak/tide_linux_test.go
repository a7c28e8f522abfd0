package soak_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/joinery/joinery/lab/image"
)

// turn is how long the workload stays as it is.
const turn = 40 * time.Second

// tide is a workload that comes and goes.
type tide struct{ *scene }

// most is how many pods of each part there are at high water. A node has 2 CPUs.
var most = map[string]int{plain: 5, tainted: 3, warm: 3, "state": 2}

// template is a pod of a group's nodes that does nothing.
func template(group, cpu string) corev1.PodTemplateSpec {
	grace := int64(1)
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: &grace, NodeSelector: map[string]string{groupLabel: group},
		Tolerations: []corev1.Toleration{{Key: dedicated, Operator: corev1.TolerationOpExists}},
		Containers: []corev1.Container{{Name: "pause", Image: image.Pause, ImagePullPolicy: corev1.PullNever,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}},
	}}
}

// begin makes all parts of the workload at low water.
func (t tide) begin(ctx context.Context) error {
	none, client := int32(0), t.Cluster.Client()
	for part := range most {
		labels, group := map[string]string{"app": part}, part
		if part == "state" {
			group = plain
		}
		pods := template(group, "700m")
		pods.Labels = labels
		selector := &metav1.LabelSelector{MatchLabels: labels}
		var err error
		if part == "state" {
			_, err = client.AppsV1().StatefulSets(metav1.NamespaceDefault).Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: part},
				Spec: appsv1.StatefulSetSpec{Replicas: &none, Selector: selector, Template: pods}}, metav1.CreateOptions{})
		} else {
			_, err = client.AppsV1().Deployments(metav1.NamespaceDefault).Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: part},
				Spec: appsv1.DeploymentSpec{Replicas: &none, Selector: selector, Template: pods}}, metav1.CreateOptions{})
		}
		if err != nil {
			return fmt.Errorf("make workload: %w", err)
		}
	}
	one := intstr.FromInt32(1)
	_, err := client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: plain},
		Spec:       policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": plain}}},
	}, metav1.CreateOptions{})
	return err
}

// run turns the tide until ctx ends.
func (t tide) run(ctx context.Context, random *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		for _, part := range []string{plain, tainted, warm, "state"} {
			// A third of the time there is nothing, so that nodes go.
			replicas := max(random.IntN(most[part]+most[part]/2+1)-most[part]/2, 0)
			if err := t.scale(ctx, part, replicas); err != nil {
				t.say("workload: %v", err)
			}
		}
		if err := t.job(ctx, n); err != nil {
			t.say("workload: %v", err)
		}
		sleep(ctx, turn)
	}
}

func (t tide) scale(ctx context.Context, part string, replicas int) (err error) {
	patch, apps := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), t.Cluster.Client().AppsV1()
	if part == "state" {
		_, err = apps.StatefulSets(metav1.NamespaceDefault).Patch(ctx, part, types.MergePatchType, patch, metav1.PatchOptions{})
	} else {
		_, err = apps.Deployments(metav1.NamespaceDefault).Patch(ctx, part, types.MergePatchType, patch, metav1.PatchOptions{})
	}
	return err
}

// job runs a pod for some seconds, which then ends for its time is over, and goes.
func (t tide) job(ctx context.Context, n int) error {
	pods, seconds, kept, again := template(plain, "200m"), int64(20), int32(5), int32(0)
	pods.Spec.RestartPolicy = corev1.RestartPolicyNever
	_, err := t.Cluster.Client().BatchV1().Jobs(metav1.NamespaceDefault).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("job-%d", n)},
		Spec: batchv1.JobSpec{Template: pods, ActiveDeadlineSeconds: &seconds, TTLSecondsAfterFinished: &kept, BackoffLimit: &again}}, metav1.CreateOptions{})
	return err
}

// end takes the whole workload away.
func (t tide) end(ctx context.Context) error {
	client, background := t.Cluster.Client(), metav1.DeletePropagationBackground
	all, o := metav1.ListOptions{}, metav1.DeleteOptions{PropagationPolicy: &background}
	for _, remove := range []func() error{
		func() error {
			return client.AppsV1().Deployments(metav1.NamespaceDefault).DeleteCollection(ctx, o, all)
		},
		func() error {
			return client.AppsV1().StatefulSets(metav1.NamespaceDefault).DeleteCollection(ctx, o, all)
		},
		func() error { return client.BatchV1().Jobs(metav1.NamespaceDefault).DeleteCollection(ctx, o, all) },
		func() error {
			return client.PolicyV1().PodDisruptionBudgets(metav1.NamespaceDefault).DeleteCollection(ctx, o, all)
		},
	} {
		if err := remove(); err != nil {
			return fmt.Errorf("remove workload: %w", err)
		}
	}
	return nil
}
