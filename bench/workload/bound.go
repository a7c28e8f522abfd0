package workload

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// Amounts are cpu in thousandths of a core, memory in bytes, and pods.
type Amounts [3]int64

// AmountsOf reads the amounts of a resource list.
func AmountsOf(l corev1.ResourceList) Amounts {
	return Amounts{l.Cpu().MilliValue(), l.Memory().Value(), l.Pods().Value()}
}

// RequestsOf are the requests of a generated pod, which has one container.
func RequestsOf(pod *corev1.Pod) Amounts {
	a := AmountsOf(pod.Spec.Containers[0].Resources.Requests)
	a[2] = 1
	return a
}

// NewNodesBound is how many nodes the pending pods need at the very least, by
// resources alone: the room that is left on the nodes that are there is taken
// off, where the smallest pod would fit into it, and the largest group counts. Of
// a node only whole multiples of what divides all requests can be used: fifteen
// pods of half a core are all that 7.9 cores take.
func NewNodesBound(in cluster.Input) int {
	need, free, least := pendingTotals(in), FreeByNode(in), leastPending(in)
	for _, left := range free {
		if !least.Within(left) {
			continue
		}
		need = need.Minus(left)
	}
	return nodesFor(need, usable(largest(in.Groups), in.Pods))
}

// usable rounds a node's capacity down to a multiple of the greatest amount that
// divides the requests of all pending pods.
func usable(one Amounts, pods []*corev1.Pod) Amounts {
	var divisor Amounts
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			for r, q := range RequestsOf(pod) {
				divisor[r] = gcd(divisor[r], q)
			}
		}
	}
	for r, d := range divisor {
		if d > 0 {
			one[r] -= one[r] % d
		}
	}
	return one
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// KeptNodesBound is how many nodes all that runs needs at the very least.
func KeptNodesBound(in cluster.Input) int {
	var need Amounts
	for _, pod := range in.Pods {
		need = need.Plus(RequestsOf(pod))
	}
	return nodesFor(need, largest(in.Groups))
}

// Plus gives the sum.
func (a Amounts) Plus(b Amounts) Amounts { return Amounts{a[0] + b[0], a[1] + b[1], a[2] + b[2]} }

// Minus gives the difference.
func (a Amounts) Minus(b Amounts) Amounts { return Amounts{a[0] - b[0], a[1] - b[1], a[2] - b[2]} }

// Within reports whether no amount is larger than the other one.
func (a Amounts) Within(b Amounts) bool { return a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2] }

func nodesFor(need, one Amounts) int {
	nodes := int64(0)
	for r := range need {
		nodes = max(nodes, (need[r]+one[r]-1)/one[r])
	}
	return int(nodes)
}

func pendingTotals(in cluster.Input) Amounts {
	var sum Amounts
	for _, pod := range in.Pods {
		if pod.Spec.NodeName == "" {
			sum = sum.Plus(RequestsOf(pod))
		}
	}
	return sum
}

// leastPending is the smallest request of each resource among the pending pods.
func leastPending(in cluster.Input) Amounts {
	least := Amounts{1 << 62, 1 << 62, 1}
	for _, pod := range in.Pods {
		if pod.Spec.NodeName == "" {
			a := RequestsOf(pod)
			least[0], least[1] = min(least[0], a[0]), min(least[1], a[1])
		}
	}
	return least
}

// FreeByNode is what the running pods leave of each node.
func FreeByNode(in cluster.Input) map[string]Amounts {
	free := make(map[string]Amounts, len(in.Nodes))
	for _, node := range in.Nodes {
		free[node.Name] = AmountsOf(node.Status.Allocatable)
	}
	for _, pod := range in.Pods {
		if left, ok := free[pod.Spec.NodeName]; ok {
			free[pod.Spec.NodeName] = left.Minus(RequestsOf(pod))
		}
	}
	return free
}

func largest(groups []cluster.Group) Amounts {
	var most Amounts
	for _, g := range groups {
		a := AmountsOf(g.Template.Allocatable)
		for r := range most {
			most[r] = max(most[r], a[r])
		}
	}
	return most
}
