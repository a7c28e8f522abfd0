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
	// answered says that desired capacity was raised for the pod: its latency
	// is known, and a later increase says nothing about it.
	answered bool
}

func newPending() *pending { return &pending{pods: map[types.UID]seen{}} }

// saw takes note of a pod and says whether it has just turned unschedulable.
func (p *pending) saw(pod *corev1.Pod, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !unschedulable(pod) {
		delete(p.pods, pod.UID)
		return false
	}
	if _, known := p.pods[pod.UID]; known {
		return false
	}
	p.pods[pod.UID] = seen{at: now}
	return true
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

func unschedulable(pod *corev1.Pod) bool {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}
