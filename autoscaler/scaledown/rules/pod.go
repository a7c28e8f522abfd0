package rules

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Outcome is what becomes of a pod when its node goes.
type Outcome int

// The outcomes.
const (
	// Undecided is for the rules among themselves: the next one is asked.
	Undecided Outcome = iota
	// Ignore: the pod needs no other place and does not count as running. It is
	// left to end with its node.
	Ignore
	// Evict is Ignore for a pod that asks to be evicted before its node goes.
	// That is an attempt: its failure does not keep the node.
	Evict
	// Drop: the pod is evicted and needs no other place.
	Drop
	// Move: the pod may be evicted if it finds another place.
	Move
	// Block: the pod keeps its node.
	Block
)

// Options turn rules off. The zero value has all of them on, except the one that
// needs a number.
type Options struct {
	// MoveLocalStorage: see localStorage (--skip-nodes-with-local-storage=false).
	MoveLocalStorage bool
	// MoveSystemPods: see system (--skip-nodes-with-system-pods=false).
	MoveSystemPods bool
	// MoveCustomControllerPods: see controller
	// (--skip-nodes-with-custom-controller-pods=false).
	MoveCustomControllerPods bool
	// MinReplicaCount: see minReplicas (--min-replica-count). Zero is off.
	MinReplicaCount int
	// ReportTimeout is the age from which on a node agent's report counts as
	// none. Zero is never.
	ReportTimeout time.Duration
	// MaxGrace is the longest grace period that is waited for, see grace. Zero is
	// without limit.
	MaxGrace time.Duration
	// MaxHold is how long a node may hold itself, see Hold. Zero is without limit.
	MaxHold time.Duration
}

// Context is what the rules look at besides the pod or node. It is read only and
// may be used by many at a time if its functions may.
type Context struct {
	Now time.Time
	Options
	// Covered reports whether a disruption budget covers the pod. Nil: none does.
	Covered func(*corev1.Pod) bool
	// Unsupported says why no place can be found for the pod by simulation, and
	// nothing when it can. Nil: it always can.
	Unsupported func(*corev1.Pod) string
	// Owner returns how many replicas the built-in controller of that UID is to have,
	// and false when it does not exist. Nil turns the rules about it off.
	Owner func(types.UID) (replicas int32, found bool)
}

// Unsimulated is the rule that keeps a pod because no place can be found for it by
// simulation.
const Unsimulated = "unsupported"

// podRules are asked in this order; the first that decides counts. What lets a
// pod be comes before what keeps it; after safeToEvict comes only what that
// annotation lifts.
var podRules = [...]struct {
	name  string
	judge func(*Context, *corev1.Pod) (o Outcome, why string)
}{
	{"mirror", mirror},
	{"terminal", terminal},
	{"ending", ending},
	{"owner", owner},
	{"daemonset", daemonSet},
	{"grace", grace},
	{"expendable", expendable},
	{"min-replicas", minReplicas},
	{Unsimulated, unsupported},
	{"do-not-disrupt", doNotDisrupt},
	{"safe-to-evict", safeToEvict},
	{"controller", controller},
	{"system", system},
	{"local-storage", localStorage},
}

// Judge says what becomes of the pod, by which rule, and in words that follow the
// pod's name why it blocks. A pod that no rule has anything to say about moves.
//
// A planner asks this for every pod of a cluster, so nothing is allocated unless
// the pod blocks.
func (c *Context) Judge(pod *corev1.Pod) (o Outcome, rule, why string) {
	for i := range podRules {
		if o, why = podRules[i].judge(c, pod); o != Undecided {
			return o, podRules[i].name, why
		}
	}
	return Move, "", ""
}
