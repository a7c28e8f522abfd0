package companions_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	loadPort = 8080
	// One request spends cost; rate of them come every second, however many pods there
	// are. That is half of a processor: what a test's computer has besides.
	cost, rate = 20 * time.Millisecond, 25
	// maxOutstanding bounds the requests that wait for an answer where pods are slow.
	maxOutstanding = 64
	requestTimeout = 10 * time.Second
)

// deploy makes a Deployment of the command load.
func (s *scene) deploy(name string, replicas int32, cpu string) {
	s.t.Helper()
	labels, grace := map[string]string{"app": name}, int64(1)
	deployments := s.Cluster.Client().AppsV1().Deployments(metav1.NamespaceDefault)
	_, err := deployments.Create(s.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{{
					Name: "load", Image: loadImage, ImagePullPolicy: corev1.PullNever,
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("64Mi")}},
				}}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) undeploy(name string) {
	s.t.Helper()
	background := metav1.DeletePropagationBackground
	err := s.Cluster.Client().AppsV1().Deployments(metav1.NamespaceDefault).Delete(s.t.Context(), name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil {
		s.t.Fatal(err)
	}
}

// load sends the workload's requests to its Ready pods in turn, as a load balancer does,
// until the returned function is called.
func (s *scene) load(workload string) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var sending sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{DialContext: s.Host.VPC().DialContext}, Timeout: requestTimeout}
	sending.Go(func() {
		slots := make(chan struct{}, maxOutstanding)
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		var targets []string
		for n := 0; ; n++ {
			if n%rate == 0 {
				targets = s.targets(ctx, workload)
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if len(targets) == 0 {
				continue
			}
			select {
			case slots <- struct{}{}:
				sending.Go(func() { defer func() { <-slots }(); request(ctx, client, targets[n%len(targets)]) })
			default: // as many wait as may
			}
		}
	})
	return func() { cancel(); sending.Wait(); client.CloseIdleConnections() }
}

// request asks a pod for work. A pod that is gone by then loses the request.
func request(ctx context.Context, client *http.Client, target string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d/burn?cpu=%s", target, loadPort, cost), nil)
	if err != nil {
		return
	}
	if answer, err := client.Do(r); err == nil {
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// targets are the addresses of the workload's Ready pods.
func (s *scene) targets(ctx context.Context, workload string) (all []string) {
	pods, err := s.pods(ctx, workload)
	if err != nil {
		return nil // the test is over, or tried again in a second
	}
	for _, p := range pods {
		if ready(p) {
			all = append(all, p.Status.PodIP)
		}
	}
	return all
}

func ready(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
