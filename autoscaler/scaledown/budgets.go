package scaledown

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// budgets are the disruption budgets of the cluster, with what one plan has used
// of them.
type budgets struct {
	list []budget
	// left: place in list -> evictions that are still allowed.
	left map[int]int32
}

type budget struct {
	namespace, name string
	selector        labels.Selector
}

// newBudgets reads the budgets. One whose status is older than its spec allows
// nothing, as the eviction API has it; so does one whose selector cannot be read.
func newBudgets(pdbs []*policyv1.PodDisruptionBudget) *budgets {
	b := &budgets{left: map[int]int32{}}
	for i, pdb := range pdbs {
		left := pdb.Status.DisruptionsAllowed
		if pdb.Status.ObservedGeneration < pdb.Generation {
			left = 0
		}
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil {
			selector, left = labels.Everything(), 0
		}
		b.list = append(b.list, budget{namespace: pdb.Namespace, name: pdb.Name, selector: selector})
		b.left[i] = left
	}
	return b
}

func (b *budgets) matching(pod *corev1.Pod) []int {
	var found []int
	for i, pdb := range b.list {
		if pdb.namespace == pod.Namespace && pdb.selector.Matches(labels.Set(pod.Labels)) {
			found = append(found, i)
		}
	}
	return found
}

func (b *budgets) covers(pod *corev1.Pod) bool { return len(b.matching(pod)) > 0 }

// take books the eviction of all the pods, or of none and says why. The eviction
// API refuses a pod that more than one budget covers.
func (b *budgets) take(pods []*corev1.Pod) (refused string) {
	left := maps.Clone(b.left)
	for _, pod := range pods {
		found := b.matching(pod)
		if len(found) > 1 {
			return fmt.Sprintf("pod %s is covered by %d disruption budgets", cluster.Key(pod), len(found))
		}
		for _, i := range found {
			if left[i] <= 0 {
				return fmt.Sprintf("disruption budget %s/%s does not let pod %s go", b.list[i].namespace, b.list[i].name, cluster.Key(pod))
			}
			left[i]--
		}
	}
	b.left = left
	return ""
}
