package scaledown

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// counted returns those of the pods whose eviction uses up a disruption budget, as the
// eviction API counts it (registry/core/pod/storage/eviction.go in Kubernetes):
//   - a pod that is Pending, finished or terminating is evicted whatever its budget says;
//   - so is one that is not Ready while its budget is met without it, or whose budget has
//     the policy AlwaysAllow;
//   - more than one budget for a pod is refused, unless it is of the first kind.
func (p *planner) counted(pods []cluster.Pod) []cluster.Pod {
	for i := range pods {
		if p.free(&pods[i]) {
			out := append([]cluster.Pod(nil), pods[:i]...)
			for k := i + 1; k < len(pods); k++ {
				if !p.free(&pods[k]) {
					out = append(out, pods[k])
				}
			}
			return out
		}
	}
	return pods
}

// free reports whether the eviction of a pod uses up no budget.
func (p *planner) free(pod *cluster.Pod) bool {
	covering := p.budgets.of(pod.Class)
	switch {
	case len(covering) == 0:
		return false // nothing to use up
	case pod.Status.Phase == corev1.PodPending || kube.Finished(pod.Pod) || kube.Terminating(pod.Pod):
		return true
	case len(covering) > 1 || kube.PodReady(pod.Pod):
		return false
	}
	for _, pdb := range p.s.PodDisruptionBudgets() {
		if pdb.Namespace == covering[0].namespace && pdb.Name == covering[0].name {
			return sparesUnhealthy(pdb)
		}
	}
	return false
}

// sparesUnhealthy reports whether a pod that is not Ready may go whatever is left of the
// budget.
func sparesUnhealthy(pdb *policyv1.PodDisruptionBudget) bool {
	if policy := pdb.Spec.UnhealthyPodEvictionPolicy; policy != nil && *policy == policyv1.AlwaysAllow {
		return true
	}
	return pdb.Status.ObservedGeneration >= pdb.Generation && pdb.Status.DesiredHealthy > 0 && pdb.Status.CurrentHealthy >= pdb.Status.DesiredHealthy
}
