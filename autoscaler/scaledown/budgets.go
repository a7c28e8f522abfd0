package scaledown

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// budgets are the disruption budgets of the cluster, with what one plan has used
// of them.
type budgets struct {
	byNamespace map[string][]*budget
	// known: class ID -> the budgets that cover its pods, once looked up.
	known  [][]*budget
	looked []bool
}

type budget struct {
	namespace, name string
	selector        labels.Selector
	// left is how many evictions are still allowed.
	left int32
}

// newBudgets reads the budgets. One whose status is older than its spec allows
// nothing, as the eviction API has it; so does one whose selector cannot be read.
func newBudgets(pdbs []*policyv1.PodDisruptionBudget, classes int) *budgets {
	b := &budgets{byNamespace: map[string][]*budget{}, known: make([][]*budget, classes), looked: make([]bool, classes)}
	for _, pdb := range pdbs {
		left := pdb.Status.DisruptionsAllowed
		if pdb.Status.ObservedGeneration < pdb.Generation {
			left = 0
		}
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil {
			selector, left = labels.Everything(), 0
		}
		b.byNamespace[pdb.Namespace] = append(b.byNamespace[pdb.Namespace], &budget{pdb.Namespace, pdb.Name, selector, left})
	}
	return b
}

func (b *budgets) covers(pod *corev1.Pod) bool {
	for _, pdb := range b.byNamespace[pod.Namespace] {
		if pdb.selector.Matches(labels.Set(pod.Labels)) {
			return true
		}
	}
	return false
}

// of gives the budgets that cover the pods of a class: its labels are those of
// all of them.
func (b *budgets) of(c *cluster.Class) []*budget {
	for c.ID >= len(b.looked) {
		b.known, b.looked = append(b.known, nil), append(b.looked, false)
	}
	if !b.looked[c.ID] {
		b.looked[c.ID] = true
		for _, pdb := range b.byNamespace[c.Exemplar.Namespace] {
			if pdb.selector.Matches(labels.Set(c.Exemplar.Labels)) {
				b.known[c.ID] = append(b.known[c.ID], pdb)
			}
		}
	}
	return b.known[c.ID]
}

// take books the eviction of all the pods, or of none and says why. The eviction
// API refuses a pod that more than one budget covers.
func (b *budgets) take(lists ...[]cluster.Pod) (refused string) {
	var taken []*budget
	defer func() {
		if refused != "" {
			for _, pdb := range taken {
				pdb.left++
			}
		}
	}()
	for _, pods := range lists {
		for i := range pods {
			found := b.of(pods[i].Class)
			if len(found) > 1 {
				return fmt.Sprintf("pod %s is covered by %d disruption budgets", cluster.Key(pods[i].Pod), len(found))
			}
			for _, pdb := range found {
				if pdb.left <= 0 {
					return fmt.Sprintf("disruption budget %s/%s does not let pod %s go", pdb.namespace, pdb.name, cluster.Key(pods[i].Pod))
				}
				pdb.left--
				taken = append(taken, pdb)
			}
		}
	}
	return ""
}

// giveBack undoes take.
func (b *budgets) giveBack(lists ...[]cluster.Pod) {
	for _, pods := range lists {
		for i := range pods {
			for _, pdb := range b.of(pods[i].Class) {
				pdb.left++
			}
		}
	}
}
