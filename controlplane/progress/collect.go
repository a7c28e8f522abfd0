package progress

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// age has a value for each service that runs; on a master that does not lead
// there is none.
var age = prometheus.NewDesc("joinery_service_progress_age_seconds",
	"How long a service of the leader has made no progress.", []string{"service"}, nil)

// late says the same as the probe /healthz.
var late = prometheus.NewDesc("joinery_service_late",
	"1 for a service of the leader that has made no progress for longer than it may take.", []string{"service"}, nil)

// Describe sends what Collect may send.
func (b *Board) Describe(out chan<- *prometheus.Desc) {
	out <- age
	out <- late
}

// Collect sends how every running service stands now.
func (b *Board) Collect(out chan<- prometheus.Metric) {
	for _, s := range b.Standings(time.Now()) {
		if s.Idle {
			continue
		}
		value := 0.0
		if s.Late {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(age, prometheus.GaugeValue, s.Since.Seconds(), s.Name)
		out <- prometheus.MustNewConstMetric(late, prometheus.GaugeValue, value, s.Name)
	}
}
