package scaledown

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// budgets are the disruption budgets of the cluster, with what one plan has used
// of them.
type budgets struct {
	byNamespace map[string][]*budget
	// known: class ID -> the budgets that cover its pods, once looked up.
	known  [][]*budget
	looked []bool
	// time is how long the evictions of one drain may take.
	time time.Duration
	// taken are those that the last take booked on.
	taken []*budget
}

type budget struct {
	namespace, name string
	selector        labels.Selector
	// left is how many evictions are still allowed, booked how many of them the last
	// take has used.
	left, booked int32

	// asked is how many pods of the node at hand are under the budget, first one of
	// them, and pace the longest time until one of them has a successor.
	asked int32
	first *corev1.Pod
	pace  time.Duration
}

// newBudgets reads the budgets. One whose status is older than its spec allows
// nothing, as the eviction API has it; so does one whose selector cannot be read.
func newBudgets(pdbs []*policyv1.PodDisruptionBudget, classes int, drain time.Duration) *budgets {
	b := &budgets{byNamespace: map[string][]*budget{}, known: make([][]*budget, classes), looked: make([]bool, classes), time: drain}
	for _, pdb := range pdbs {
		left := pdb.Status.DisruptionsAllowed
		if pdb.Status.ObservedGeneration < pdb.Generation {
			left = 0
		}
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil {
			selector, left = labels.Everything(), 0
		}
		b.byNamespace[pdb.Namespace] = append(b.byNamespace[pdb.Namespace], &budget{namespace: pdb.Namespace, name: pdb.Name, selector: selector, left: left})
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

// take books the eviction of all the pods of a node, or of none and says why. Pods under
// one budget may leave one after the other, as far as the drain has the time for it. The
// eviction API refuses a pod that more than one budget covers.
func (b *budgets) take(lists ...[]cluster.Pod) (refused string) {
	b.taken = b.taken[:0]
	for _, pods := range lists {
		for i := range pods {
			found := b.of(pods[i].Class)
			if len(found) > 1 {
				b.drop()
				return fmt.Sprintf("pod %s is covered by %d disruption budgets", cluster.Key(pods[i].Pod), len(found))
			}
			for _, pdb := range found {
				b.ask(pdb, pods[i].Pod)
			}
		}
	}
	for _, pdb := range b.taken {
		if refused = pdb.refuses(b.time); refused != "" {
			b.drop()
			return refused
		}
	}
	for _, pdb := range b.taken {
		pdb.booked = min(pdb.asked, pdb.left)
		pdb.left -= pdb.booked
		pdb.asked, pdb.pace = 0, 0
	}
	return ""
}

// ask notes that one more pod of the node is under the budget.
func (b *budgets) ask(pdb *budget, pod *corev1.Pod) {
	if pdb.asked == 0 {
		pdb.first = pod
		b.taken = append(b.taken, pdb)
	}
	pdb.asked++
	pdb.pace = max(pdb.pace, succession(pod))
}

// refuses says why the pods that were asked about cannot all leave within the time.
func (pdb *budget) refuses(limit time.Duration) string {
	if pdb.left <= 0 {
		return fmt.Sprintf("disruption budget %s/%s does not let pod %s go", pdb.namespace, pdb.name, cluster.Key(pdb.first))
	}
	// Each turn but the first waits until the pods of the one before are replaced.
	if turns := (pdb.asked - 1) / pdb.left; time.Duration(turns)*pdb.pace > limit {
		return fmt.Sprintf("disruption budget %s/%s lets %d of %d pods go at a time, and each turn takes about %s: more than a drain's %s",
			pdb.namespace, pdb.name, pdb.left, pdb.asked, pdb.pace.Round(time.Second), limit)
	}
	return ""
}

// The times by which a successor of an evicted pod is Ready.
const (
	// leastSuccession is what the controllers and the scheduler need at least, and the
	// evictor until it asks again.
	leastSuccession = 10 * time.Second
	// usualSuccession is for a pod that does not say how long it took itself.
	usualSuccession = time.Minute
)

// succession is how long it takes from a pod's eviction until another is Ready in its
// place: as long as the pod itself took. That of a StatefulSet is made only once the old
// one has ended.
func succession(pod *corev1.Pod) time.Duration {
	took := usualSuccession
	if kube.PodReady(pod) && pod.Status.StartTime != nil {
		took = max(leastSuccession, kube.PodCondition(pod, corev1.PodReady).LastTransitionTime.Sub(pod.Status.StartTime.Time))
	}
	if kube.StatefulSetPod(pod) {
		took += kube.Grace(pod)
	}
	return took
}

// drop forgets what was asked about.
func (b *budgets) drop() {
	for _, pdb := range b.taken {
		pdb.asked, pdb.pace = 0, 0
	}
	b.taken = b.taken[:0]
}

// giveBack undoes the last take.
func (b *budgets) giveBack() {
	for _, pdb := range b.taken {
		pdb.left += pdb.booked
	}
	b.taken = b.taken[:0]
}
