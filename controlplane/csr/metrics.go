package csr

import (
	"context"
	"log/slog"
	"strings"
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
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_csr_decisions_total", Help: "Signing requests by verdict and reason; a request that is held counts once for each reason, and TooManyHeld once a minute."}, []string{"verdict", "reason"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "joinery_csr_decision_seconds", Help: "From the creation of a signing request to its approval or denial; the API server's clock has whole seconds.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300},
		}),
	}
	reg.MustRegister(m.decisions, m.latency)
	return m
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
	a.metrics.decisions.WithLabelValues(string(v.Action), string(v.Reason)).Inc()
	kind, level := corev1.EventTypeNormal, slog.LevelInfo
	if v.alarming() {
		kind, level = corev1.EventTypeWarning, slog.LevelWarn
	}
	if v.Action == Approve || v.Action == Deny {
		a.metrics.latency.Observe(time.Since(r.Created).Seconds())
	}
	a.events.Eventf(c, kind, string(v.Action)+string(v.Reason), "%s request of %s for node %q: %s", r.Kind, clip(r.Requester), clip(r.Node), v.Message)
	a.log.Log(ctx, level, "signing request", "request", c.Name, "verdict", v.Action, "reason", v.Reason,
		"kind", r.Kind, "node", clip(r.Node), "instance", v.Instance.ID, "requester", r.Requester, "message", v.Message)
}

// alarmEvery is how often it is said that too many requests are held.
const alarmEvery = time.Minute

// alarm says that a request waits because too many are held.
func (a *Approver) alarm(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request) {
	a.mu.Lock()
	due := time.Since(a.alarmed) >= alarmEvery
	if due {
		a.alarmed = time.Now()
	}
	a.mu.Unlock()
	if due {
		a.say(ctx, c, r, *tooManyHeld(r, a.policy))
	}
}

func tooManyHeld(r Request, p Policy) *Verdict {
	if id, holder := strings.CutPrefix(r.Requester, requesterPrefix); holder {
		return hold(TooManyHeld, "%d requests are held: further ones wait. If they are not of your instances, revoke the token: delete the Secret bootstrap-token-%s in kube-system", p.MaxHeld, id)
	}
	return hold(TooManyHeld, "%d requests of %s are held: further ones wait", p.MaxHeldByNode, clip(r.Requester))
}
