package token

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/controlplane/bundle"
)

// Metrics counts what the rotator does.
type Metrics struct {
	rotations *prometheus.CounterVec
	deleted   prometheus.Counter
	trouble   *prometheus.CounterVec
	expiry    prometheus.Gauge
	// foreign, when set, is told once for each time that the parameter was
	// found to hold something of somebody else.
	foreign func(*bundle.NotOursError)
}

// NewMetrics registers the rotator's metrics. foreign may be nil.
func NewMetrics(reg prometheus.Registerer, foreign func(*bundle.NotOursError)) *Metrics {
	m := &Metrics{
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_token_rotations_total", Help: "Tokens published, by reason."}, []string{"reason"}),
		deleted:   prometheus.NewCounter(prometheus.CounterOpts{Name: "joinery_tokens_deleted_total", Help: "Token Secrets deleted because nobody can need them any more."}),
		trouble:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_token_failures_total", Help: "Rounds of the rotator that failed, by kind."}, []string{"kind"}),
		expiry:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "joinery_token_expiry_timestamp_seconds", Help: "When the published token expires; 0 on a master that does not lead."}),
		foreign:   foreign,
	}
	reg.MustRegister(m.rotations, m.deleted, m.trouble, m.expiry)
	return m
}

// Rotated counts a rotation.
func (m *Metrics) Rotated(r Reason) {
	m.rotations.WithLabelValues(string(r)).Inc()
}

// Published notes the end of the published token, whoever published it: a
// controller that has just taken over knows it too.
func (m *Metrics) Published(expires time.Time) { m.expiry.Set(float64(expires.Unix())) }

// Deleted counts a deleted token.
func (m *Metrics) Deleted(string) { m.deleted.Inc() }

// Trouble counts a failed round.
func (m *Metrics) Trouble(err error) {
	var notOurs *bundle.NotOursError
	if !errors.As(err, &notOurs) {
		m.trouble.WithLabelValues("error").Inc()
		return
	}
	m.trouble.WithLabelValues("not-ours").Inc()
	if m.foreign != nil {
		m.foreign(notOurs)
	}
}
