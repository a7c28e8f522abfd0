package loop

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pending remembers since when pods have been seen unschedulable. The pod's own
// condition has whole seconds only, too coarse for what is measured here.
type pending struct {
	mu   sync.Mutex // guards pods
	pods map[types.UID]seen
}

type seen struct {
	at time.Time
	// refused is when the scheduler last said that it found no node for the pod, as
	// far as it shows: by words, and that other words came.
	refused time.Time
	words   string
	// answered says that desired capacity was raised for the pod: its latency
	// is known, and a later increase says nothing about it.
	answered bool
}

func newPending() *pending { return &pending{pods: map[types.UID]seen{}} }

// saw takes note of a pod and says whether it has just turned unschedulable.
func (p *pending) saw(pod *corev1.Pod, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := refusal(pod)
	if c == nil {
		delete(p.pods, pod.UID)
		return false
	}
	s, known := p.pods[pod.UID]
	switch {
	case !known:
		s.at, s.refused = now, c.LastTransitionTime.Time
	case s.words != c.Message:
		s.refused = now
	case c.LastTransitionTime.After(s.refused):
		s.refused = c.LastTransitionTime.Time
	}
	s.words = c.Message
	p.pods[pod.UID] = s
	return !known
}

// refused returns when the scheduler last said that it found no node for the pod.
func (p *pending) refused(uid types.UID) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pods[uid].refused
}

func (p *pending) gone(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pods, uid)
}

func (p *pending) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pods)
}

// answer returns how long the pod had waited when AWS was asked at at, the first
// time only.
func (p *pending) answer(uid types.UID, at time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.pods[uid]
	if !ok || s.answered {
		return 0, false
	}
	s.answered = true
	p.pods[uid] = s
	return at.Sub(s.at), true
}

// refusal is the pod's condition by which the scheduler says that it found no node for
// it; nil when there is none.
func refusal(pod *corev1.Pod) *corev1.PodCondition {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return nil
	}
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c
		}
	}
	return nil
}
