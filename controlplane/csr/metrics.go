package csr

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

// Metrics counts verdicts.
type Metrics struct {
	decisions *prometheus.CounterVec
	latency   prometheus.Histogram
}

// NewMetrics registers the approver's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_csr_decisions_total", Help: "Signing requests by verdict and reason; a request that is held counts once for each reason."}, []string{"verdict", "reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "joinery_csr_decision_seconds", Help: "From the creation of a signing request to its approval or denial; the API server's clock has whole seconds.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300},
		}),
	}
	reg.MustRegister(m.decisions, m.latency)
	return m
}

// tell says what was decided, once: as an event regarding the request, a metric
// and a log line. A second certificate for one launch and every denial is a
// warning.
func (a *Approver) tell(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, v Verdict) {
	if v.Action == Hold && !a.news(c.Name, v.Reason) {
		return
	}
	a.metrics.decisions.WithLabelValues(string(v.Action), string(v.Reason)).Inc()
	kind, level := corev1.EventTypeNormal, slog.LevelInfo
	if v.Action == Deny || v.Reason == Regranted {
		kind, level = corev1.EventTypeWarning, slog.LevelWarn
	}
	if v.Action != Hold {
		a.metrics.latency.Observe(time.Since(r.Created).Seconds())
	}
	a.events.Eventf(c, kind, string(v.Action)+string(v.Reason), "node %q for %s: %s", r.Node, r.Requester, v.Message)
	a.log.Log(ctx, level, "signing request", "request", c.Name, "verdict", v.Action, "reason", v.Reason,
		"node", r.Node, "instance", v.Instance.ID, "requester", r.Requester, "message", v.Message)
}

// news remembers for what a request is held, and says whether that is new.
func (a *Approver) news(request string, reason Reason) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[request] == reason {
		return false
	}
	a.held[request] = reason
	return true
}

func (a *Approver) forget(request string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, request)
}
