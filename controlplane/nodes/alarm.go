package nodes

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/binding"
)

// ImpostorReason is the reason of the Event about an impostor.
const ImpostorReason = "ImpostorNode"

type metrics struct {
	deleted   *prometheus.CounterVec
	forced    prometheus.Counter
	standings *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		deleted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "joinery_nodes_deleted_total",
			Help: "Node objects deleted because their instance is gone, went back into a warm pool, or is not theirs, by reason of the binding.",
		}, []string{"reason"}),
		standings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "joinery_nodes",
			Help: "Nodes by how they stand to the instances of EC2 (Bound, Adopted, Impostor, Leaving, Unknown) and why; absent where this process does not lead.",
		}, []string{"standing", "reason"}),
	}
	m.forced = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "joinery_pods_finished_total",
		Help: "Pods deleted by force because EC2 proves that the instance of their node is gone.",
	})
	reg.MustRegister(m.deleted, m.forced, m.standings)
	return m
}

func (m metrics) show(nodes []Node) {
	m.standings.Reset()
	for _, s := range []binding.Standing{binding.Bound, binding.Adopted, binding.Impostor, binding.Leaving, binding.Unknown} {
		count := map[binding.Reason]int{}
		for _, n := range nodes {
			if n.Verdict.Standing == s {
				count[n.Verdict.Reason]++
			}
		}
		for reason, n := range count {
			m.standings.WithLabelValues(string(s), string(reason)).Set(float64(n))
		}
	}
}

// alarm says what is new about how Nodes stand, and says again and again that one is
// an impostor. before is how they stood.
func (j *Janitor) alarm(nodes []Node, before Since) {
	now := time.Now()
	here := map[string]bool{}
	for _, n := range nodes {
		here[n.UID] = true
		v := n.Verdict
		s, seen := before[n.UID]
		news := !seen || s.Standing != v.Standing || s.Reason != v.Reason || s.Proven != v.Proven
		if news {
			j.deps.Log.Info("node's standing", "node", n.Name, "uid", n.UID, "standing", v.Standing, "reason", v.Reason, "instance", v.InstanceID, "message", v.Message)
		}
		if v.Standing != binding.Impostor {
			delete(j.alarmed, n.UID)
			continue
		}
		if last, said := j.alarmed[n.UID]; !said || news || now.Sub(last) >= repeatAlarm {
			j.alarmed[n.UID] = now
			j.deps.Log.Error("IMPOSTOR: a node is not what it claims to be", "node", n.Name, "uid", n.UID, "reason", v.Reason, "instance", v.InstanceID, "proven", v.Proven, "message", v.Message)
			j.deps.Events.Eventf(reference(n), corev1.EventTypeWarning, ImpostorReason, "not what it claims to be: %s: %s. %s", v.Reason, v.Message, remedy(v))
		}
	}
	for uid := range j.alarmed {
		if !here[uid] {
			delete(j.alarmed, uid)
		}
	}
}

// remedy is what an operator does about an impostor.
func remedy(v binding.Verdict) string {
	if v.Proven {
		return "The Node is removed; look at who has its key"
	}
	return "If it is one of yours, adopt it: joinery adopt NODE; else delete it"
}
