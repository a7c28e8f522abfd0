package act

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/autoscaler/scaledown"
)

// Metrics count what an Executor did.
type Metrics struct {
	added      *prometheus.CounterVec
	failedUp   *prometheus.CounterVec
	removed    *prometheus.CounterVec
	rolledBack *prometheus.CounterVec
	evictions  *prometheus.CounterVec
	replaced   *prometheus.CounterVec
	lost       *prometheus.CounterVec
	holds      *prometheus.GaugeVec
	notBound   *prometheus.CounterVec
}

// NewMetrics returns the metrics, registered with reg.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "joinery", Subsystem: "autoscaler", Name: name, Help: help}, labels)
	}
	m := &Metrics{
		added:      counter("nodes_requested_total", "Instances asked for by raising desired capacity.", "group"),
		failedUp:   counter("scale_up_failures_total", "Increases that AWS refused or that could not be asked for.", "group"),
		removed:    counter("nodes_removed_total", "Nodes drained and terminated with decrement, by whether they were empty.", "group", "empty"),
		rolledBack: counter("scale_down_failures_total", "Removals that were refused or rolled back.", "group"),
		evictions:  counter("evictions_total", "Answers to eviction requests.", "result"),
		replaced:   counter("instances_replaced_total", "Instances terminated because they never became a node.", "group"),
	}
	m.lost = counter("lost_instances_ended_total", "Instances terminated because their node was lost: its kubelet fell silent, or its Node was deleted and did not come back.", "group")
	m.holds = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "joinery", Subsystem: "autoscaler", Name: "held_nodes",
		Help: "Nodes that hold themselves, by what that is worth: holding, unlimited, released or expired.",
	}, []string{"state"})
	m.setHolds(nil)
	m.notBound = counter("not_bound_total", "Actions that were refused because the node is not, or no longer, the instance that they were meant for.", "action")
	for _, action := range []string{actMark, actTerminate, actTakeBack} {
		m.notBound.WithLabelValues(action)
	}
	for _, c := range []prometheus.Collector{m.added, m.failedUp, m.removed, m.rolledBack, m.evictions, m.replaced, m.lost, m.holds, m.notBound} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// setHolds takes the number of holds by state.
func (m *Metrics) setHolds(n map[string]int) {
	for _, state := range []scaledown.HoldState{scaledown.HoldCounts, scaledown.HoldUnlimited, scaledown.HoldReleased, scaledown.HoldExpired} {
		m.holds.WithLabelValues(string(state)).Set(float64(n[string(state)]))
	}
}
