package csr

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/quote"
)

// Metrics counts verdicts.
type Metrics struct {
	decisions *prometheus.CounterVec
	proofs    *prometheus.CounterVec
	latency   prometheus.Histogram
	waiting   *prometheus.GaugeVec
}

// NewMetrics registers the approver's metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_csr_decisions_total", Help: "Signing requests by verdict and reason; a request that is held counts once for each reason, and TooManyHeld once a minute."}, []string{"verdict", "reason"}),
		proofs:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_csr_proofs_total", Help: "Approved joins by the kind of their proof of identity: instanceIdentity, nodeRole or none."}, []string{"kind"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "joinery_csr_decision_seconds", Help: "From the creation of a signing request to its approval or denial; the API server's clock has whole seconds.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300},
		}),
	}
	m.waiting = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "joinery_csr_waiting_requests", Help: "Signing requests that are not decided: unclaimed ones, of which no instance that may be joining has the name, and queued ones. Unclaimed ones cost nothing."}, []string{"state"})
	for _, kind := range []string{string(v1alpha1.ProofInstanceIdentity), string(v1alpha1.ProofNodeRole), unproven} {
		m.proofs.WithLabelValues(kind)
	}
	reg.MustRegister(m.decisions, m.proofs, m.latency, m.waiting)
	return m
}

// show sets the gauges of what waits.
func (m *Metrics) show(c census) {
	m.waiting.WithLabelValues("unclaimed").Set(float64(c.unclaimed))
	m.waiting.WithLabelValues("queued").Set(float64(c.queued))
}

// unproven is the kind of proof in a metric where there was none.
const unproven = "none"

// count counts a verdict, and what an approved join was proven by.
func (m *Metrics) count(r Request, v Verdict) {
	m.decisions.WithLabelValues(string(v.Action), string(v.Reason)).Inc()
	if v.Action == Approve && r.Kind == Bootstrap {
		m.proofs.WithLabelValues(cmp.Or(string(v.Proof), unproven)).Inc()
	}
}

// tell says what was decided, once: as an event regarding the request, a metric
// and a log line. A second certificate for one launch, every denial and every
// request with somebody else's token is a warning.
func (a *Approver) tell(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, v Verdict) {
	if v.Action == Hold && !a.news(r, v.Reason) {
		return
	}
	a.say(ctx, c, r, v)
}

func (a *Approver) say(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, v Verdict) {
	a.metrics.count(r, v)
	kind, level := corev1.EventTypeNormal, slog.LevelInfo
	if v.alarming() {
		kind, level = corev1.EventTypeWarning, slog.LevelWarn
	}
	if v.Action == Approve || v.Action == Deny {
		a.metrics.latency.Observe(time.Since(r.Created).Seconds())
	}
	// What is denied in a flood is counted, and told of for the first few.
	if v.Action != Approve && !a.lanes.mayTell(a.lanes.of(r.Name), time.Now()) {
		return
	}
	a.events.Eventf(c, kind, string(v.Action)+string(v.Reason), "%s request of %s for node %s: %s", r.Kind, quote.Name(r.Requester), quote.Text(r.Node), v.Message)
	a.log.Log(ctx, level, "signing request", "request", c.Name, "verdict", v.Action, "reason", v.Reason,
		"kind", r.Kind, "node", r.Node, "instance", v.Instance.ID, "requester", r.Requester, "proof", v.Proof, "message", v.Message)
}
