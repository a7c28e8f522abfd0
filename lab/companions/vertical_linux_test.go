package companions_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	vertical = "vertical"
	// Two pods of smallCPU share a node, two of largeCPU do not.
	smallCPU, largeCPU = "100m", "1200m"
	// settled is how long nothing may change once the pods are large: several rounds of
	// VPA's updater and of the autoscaler.
	settled = 40 * time.Second
	vpaPath = "/apis/autoscaling.k8s.io/v1/namespaces/default/verticalpodautoscalers/" + vertical
)

// vpa has the updater evict the pods, since none may have less than largeCPU.
const vpa = `apiVersion: autoscaling.k8s.io/v1
kind: VerticalPodAutoscaler
metadata: {name: ` + vertical + `, namespace: default}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: ` + vertical + `}
  updatePolicy: {updateMode: Recreate}
  resourcePolicy: {containerPolicies: [{containerName: load, minAllowed: {cpu: ` + largeCPU + `}}]}
`

// TestVerticalGrows: VPA recommends larger pods and evicts the small ones, the group
// grows for what comes in their place, and neither undoes what the other did.
func TestVerticalGrows(t *testing.T) {
	s := &scene{installation.Open(t), t}
	s.deploy(vertical, 2, smallCPU)
	s.await("the small pods run", grows, func(ctx context.Context) (string, bool) { return s.large(ctx, 0) })
	raised, terminated := s.writes()
	if _, err := s.Cluster.Kubectl(t.Context(), []byte(vpa), "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}

	s.await("VPA recommends", measures, s.recommended)
	s.await("the large pods run", scales+grows, func(ctx context.Context) (string, bool) { return s.large(ctx, 2) })
	if !s.evictedByVPA() {
		t.Error("no pod has an Event of VPA's eviction")
	}
	if now, _ := s.writes(); len(now) == len(raised) {
		t.Error("the group did not grow")
	}
	s.holdsStill(len(terminated))

	if _, err := s.Cluster.Kubectl(t.Context(), nil, "delete", "verticalpodautoscaler", vertical); err != nil {
		t.Fatal(err)
	}
	s.undeploy(vertical)
	s.awaitMinimum(len(terminated))
}

// recommended reports whether VPA's recommendation is what the policy leaves it.
func (s *scene) recommended(ctx context.Context) (string, bool) {
	var v struct {
		Status struct {
			Recommendation struct {
				ContainerRecommendations []struct{ Target corev1.ResourceList }
			}
		}
	}
	if err := s.get(ctx, vpaPath, &v); err != nil {
		return err.Error(), false
	}
	all := v.Status.Recommendation.ContainerRecommendations
	if len(all) != 1 {
		return fmt.Sprintf("%d recommendations", len(all)), false
	}
	return "cpu " + all[0].Target.Cpu().String() + ", memory " + all[0].Target.Memory().String(), all[0].Target.Cpu().Cmp(resource.MustParse(largeCPU)) >= 0
}

// large reports whether both pods run, and want of them are large.
func (s *scene) large(ctx context.Context, want int) (string, bool) {
	pods, err := s.pods(ctx, vertical)
	if err != nil {
		return err.Error(), false
	}
	var seen []string
	running, large := 0, 0
	for _, p := range pods {
		cpu := p.Spec.Containers[0].Resources.Requests.Cpu()
		seen = append(seen, fmt.Sprintf("%s on %q", cpu, p.Spec.NodeName))
		if ready(p) {
			running++
		}
		if cpu.Cmp(resource.MustParse(largeCPU)) >= 0 {
			large++
		}
	}
	slices.Sort(seen)
	return strings.Join(seen, ", "), len(pods) == 2 && running == 2 && large == want
}

// evictedByVPA reports whether VPA has said that it evicted a pod.
func (s *scene) evictedByVPA() bool {
	list, err := s.Cluster.Client().CoreV1().Events(metav1.NamespaceDefault).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
		return e.Reason == "EvictedByVPA" || strings.Contains(e.Message, "VPA Updater")
	})
}

// holdsStill fails the test when a pod is replaced, a node removed or the group written
// to, while VPA and the autoscaler both look on.
func (s *scene) holdsStill(terminated int) {
	s.t.Helper()
	before := s.uids()
	raised, _ := s.writes()
	ctx, cancel := context.WithTimeout(s.t.Context(), settled)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		if now := s.uids(); !slices.Equal(now, before) {
			s.t.Fatalf("pods were replaced: %v, then %v", before, now)
		}
		up, down := s.writes()
		if len(up) != len(raised) || len(down) != terminated {
			s.t.Fatalf("the group was written to: %v, %v", up[len(raised):], down[terminated:])
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (s *scene) uids() (all []types.UID) {
	s.t.Helper()
	pods, err := s.pods(s.t.Context(), vertical)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range pods {
		all = append(all, p.UID)
	}
	slices.Sort(all)
	return all
}
