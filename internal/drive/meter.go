package drive

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Meter shows how all services do.
type Meter struct {
	rounds  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	last    *prometheus.GaugeVec
}

// NewMeter registers the metrics.
func NewMeter(reg prometheus.Registerer) *Meter {
	m := &Meter{
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "joinery_service_rounds_total", Help: "Rounds of the leader's services, and work on keys of those that events drive, by result: ok or failed.",
		}, []string{"service", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "joinery_service_round_seconds", Help: "Duration of a round in seconds, by service.",
			Buckets: []float64{.005, .025, .1, .25, 1, 5, 15, 60},
		}, []string{"service"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "joinery_service_last_success_timestamp_seconds", Help: "When a round of the service last succeeded, as Unix time.",
		}, []string{"service"}),
	}
	reg.MustRegister(m.rounds, m.seconds, m.last)
	return m
}

func (m *Meter) round(service string, took time.Duration, err error) {
	if m == nil {
		return
	}
	result := "ok"
	if err != nil {
		result = "failed"
	} else {
		m.last.WithLabelValues(service).SetToCurrentTime()
	}
	m.rounds.WithLabelValues(service, result).Inc()
	m.seconds.WithLabelValues(service).Observe(took.Seconds())
}
