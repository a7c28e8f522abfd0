package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/joinery/joinery/internal/kube"
)

// Turn is one turn of a drain.
type Turn struct {
	// Priority is the least that a pod of this turn has. Pods below the first turn's
	// are in that one.
	Priority int32
	// Grace is the longest grace period that a pod of this turn gets.
	Grace time.Duration
}

// Turns are the turns of a drain by rising priority. A turn begins when no pod of those
// before it has to leave any more. Without any, all pods leave at once and have the grace
// periods that they ask for.
type Turns []Turn

// of returns the turn of a pod.
func (t Turns) of(p *corev1.Pod) int {
	turn, priority := 0, corev1helpers.PodPriority(p)
	for i := range t {
		if t[i].Priority <= priority {
			turn = i
		}
	}
	return turn
}

// first returns the pods whose turn it is.
func (t Turns) first(pods []*corev1.Pod) []*corev1.Pod {
	if len(t) == 0 {
		return pods
	}
	var now []*corev1.Pod
	turn := len(t)
	for _, p := range pods {
		switch at := t.of(p); {
		case at < turn:
			turn, now = at, []*corev1.Pod{p}
		case at == turn:
			now = append(now, p)
		}
	}
	return now
}

// grace returns the grace period to ask for, in seconds; nil for the pod's own.
func (t Turns) grace(p *corev1.Pod) *int64 {
	if len(t) == 0 {
		return nil
	}
	most := t[t.of(p)].Grace
	if kube.Grace(p) <= most {
		return nil
	}
	seconds := int64(most / time.Second)
	return &seconds
}

// exceeds reports whether a terminating pod was given longer than an eviction would give
// it, as by kubectl delete --grace-period.
func (t Turns) exceeds(p *corev1.Pod) bool {
	if p.DeletionGracePeriodSeconds == nil {
		return false
	}
	most := kube.Grace(p)
	if len(t) > 0 {
		most = min(most, t[t.of(p)].Grace)
	}
	return time.Duration(*p.DeletionGracePeriodSeconds)*time.Second > most
}
