package act

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// eventEvery is how often the same event about the same object is repeated.
const eventEvery = 5 * time.Minute

// notice is an event that was emitted.
type notice struct {
	uid          types.UID
	reason, text string
}

// ControllerLease refers to the controller's Lease, to which events belong that are
// about no pod and no node.
func ControllerLease() *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: "coordination.k8s.io/v1", Kind: "Lease",
		Namespace: metav1.NamespaceSystem, Name: "joinery-controller",
	}
}

// eventOnPod emits an event on a pod unless the same one was emitted within
// eventEvery. A pod that is gone gets none. It reports whether it emitted one.
func (e *Executor) eventOnPod(key types.NamespacedName, uid types.UID, reason, text string) bool {
	pod, err := e.o.Pods.Pods(key.Namespace).Get(key.Name)
	if err != nil || (uid != "" && pod.UID != uid) || !e.firstNotice(notice{pod.UID, reason, text}) {
		return false
	}
	e.o.Events.Event(pod, corev1.EventTypeNormal, reason, text)
	return true
}

// eventOnController emits a warning about the autoscaler's own work, under the
// same rule.
func (e *Executor) eventOnController(reason, text string) {
	if e.firstNotice(notice{"", reason, text}) {
		e.o.Events.Event(ControllerLease(), corev1.EventTypeWarning, reason, text)
	}
}

func (e *Executor) firstNotice(n notice) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.swept) > eventEvery {
		// Not for each event: a round can emit one for each of thousands of pods.
		forget(e.noticed, now, eventEvery)
		e.swept = now
	}
	if at, again := e.noticed[n]; again && now.Sub(at) <= eventEvery {
		return false
	}
	e.noticed[n] = now
	return true
}
