package hooks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/controlplane/leader"
)

// failed is the result of an action that AWS did not take.
const failed = "failed"

type metrics struct {
	policy  Policy
	actions *prometheus.CounterVec
	wait    *prometheus.HistogramVec
	waiting *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer, p Policy) *metrics {
	m := &metrics{
		policy: p,
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_hook_actions_total",
			Help: "Answers to lifecycle hooks by hook, result (continue, abandon, heartbeat, past for one that somebody else gave, failed) and reason."}, []string{"hook", "result", "reason"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "joinery_hook_wait_seconds",
			Help:    "From an instance's launch, or from when it was first seen to wait if it was not launched for this, to the end of its wait.",
			Buckets: []float64{5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200}}, []string{"hook"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "joinery_hooks_waiting", Help: "Instances that a lifecycle hook of ours holds."}, []string{"hook"}),
	}
	reg.MustRegister(m.actions, m.wait, m.waiting)
	m.setWaiting(nil)
	return m
}

func (m *metrics) setWaiting(count map[string]int) {
	for _, name := range []string{m.policy.Lifecycle.LaunchHook, m.policy.Lifecycle.TerminateHook} {
		m.waiting.WithLabelValues(name).Set(float64(count[name]))
	}
}

// count counts an action; result is the action itself when it is ok.
func (m *metrics) count(d Decision, result string) {
	if result == "ok" {
		result = string(d.Action)
	}
	m.actions.WithLabelValues(d.Hook.Name, result, string(d.Reason)).Inc()
}

// report says once for each reason why an instance is held.
func (l *Loop) report(d Decision, s *sight) {
	if d.Action == Continue || d.Action == Abandon || s.said == d.Reason {
		return
	}
	s.said = d.Reason
	l.log(d, "instance is held")
	if d.Warn {
		l.event(d, "LifecycleHeld")
	}
}

// finished says that a hook was answered.
func (l *Loop) finished(d Decision) {
	l.metrics.count(d, "ok")
	began := d.First
	if d.Phase != Draining {
		began = d.since()
	}
	l.metrics.wait.WithLabelValues(d.Hook.Name).Observe(time.Since(began).Seconds())
	l.log(d, "lifecycle hook answered")
	reason := "LifecycleContinue"
	if d.Action == Abandon {
		reason = "LifecycleAbandon"
	}
	l.event(d, reason)
}

func (l *Loop) log(d Decision, what string) {
	say := l.deps.Log.Info
	if d.Warn {
		say = l.deps.Log.Warn
	}
	say(what, "group", d.Group, "hook", d.Hook.Name, "instance", d.InstanceID, "state", d.State,
		"action", d.Action, "reason", d.Reason, "message", d.Message)
}

// event is about the instance's Node or, where there is none, about the
// controller's Lease.
func (l *Loop) event(d Decision, reason string) {
	var about runtime.Object = &corev1.ObjectReference{
		APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Namespace: metav1.NamespaceSystem, Name: leader.LeaseName,
	}
	if n := d.bound(); n != nil {
		about = &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: types.UID(n.Name)}
	}
	kind := corev1.EventTypeNormal
	if d.Warn {
		kind = corev1.EventTypeWarning
	}
	l.deps.Events.Eventf(about, kind, reason, "hook %s of group %s, instance %s: %s: %s", d.Hook.Name, d.Group, d.InstanceID, d.Reason, d.Message)
}
