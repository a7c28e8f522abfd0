package token

import (
	"errors"
	"time"

	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/leader"
)

// Metrics counts what a rotator does.
type Metrics struct {
	rotations *prometheus.CounterVec
	deleted   prometheus.Counter
	trouble   *prometheus.CounterVec
	issued    prometheus.Gauge
	expiry    prometheus.Gauge
	warn      func(reason string, err error)
}

// NewMetrics registers the metrics of a rotator of that purpose. warn, when not
// nil, is told for each failed round that waits for an operator, with the reason
// of an Event; such an error names no secret.
func NewMetrics(reg prometheus.Registerer, p Purpose, warn func(reason string, err error)) *Metrics {
	purpose := "join"
	if p != Join {
		purpose = string(p)
	}
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"purpose": purpose}, reg)
	m := &Metrics{
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_token_rotations_total", Help: "Tokens published, by reason."}, []string{"reason"}),
		deleted:   prometheus.NewCounter(prometheus.CounterOpts{Name: "joinery_tokens_deleted_total", Help: "Token Secrets deleted because nobody can need them any more."}),
		trouble:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "joinery_token_failures_total", Help: "What went wrong in rounds of the rotator, by kind."}, []string{"kind"}),
		issued:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "joinery_token_issued_timestamp_seconds", Help: "When the published token was issued; 0 on a master that does not lead. Its age is time() minus this."}),
		expiry:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "joinery_token_expiry_timestamp_seconds", Help: "When the published token expires; 0 on a master that does not lead."}),
		warn:      warn,
	}
	reg.MustRegister(m.rotations, m.deleted, m.trouble, m.issued, m.expiry)
	return m
}

// Rotated counts a rotation.
func (m *Metrics) Rotated(r Reason) {
	m.rotations.WithLabelValues(string(r)).Inc()
}

// Published notes the times of the published token, whoever published it: a
// controller that has just taken over knows it too.
func (m *Metrics) Published(issued, expires time.Time) {
	m.issued.Set(float64(issued.Unix()))
	m.expiry.Set(float64(expires.Unix()))
}

// Deleted counts a deleted token.
func (m *Metrics) Deleted(string) { m.deleted.Inc() }

// Trouble counts what went wrong.
func (m *Metrics) Trouble(err error) {
	kind, event := classify(err)
	m.trouble.WithLabelValues(kind).Inc()
	if event != "" && m.warn != nil {
		m.warn(event, err)
	}
}

// classify returns the kind of an error and the reason of its Event; "" for one
// that goes away by itself.
func classify(err error) (kind, event string) {
	var notOurs *bundle.NotOursError
	var size *v1alpha1.BundleSizeError
	var invalid *v1alpha1.InvalidError
	var newer *NewerError
	var concurrent *ConcurrentWriteError
	var late *bundle.LateError
	var aws *smithy.OperationError
	switch {
	case errors.As(err, &notOurs):
		return "not-ours", "ForeignJoinBundle"
	case errors.As(err, &size):
		return "too-large", "JoinBundleTooLarge"
	case errors.As(err, &invalid):
		return "invalid", "JoinBundleInvalid"
	case errors.Is(err, bundle.ErrNoEndpoint):
		return "no-endpoint", "JoinBundleInvalid"
	case errors.Is(err, leader.ErrLost):
		return "lease-lost", ""
	case errors.As(err, &newer):
		return "newer", ""
	case errors.As(err, &concurrent):
		return "concurrent-write", ""
	case errors.As(err, &late):
		return "late", ""
	case errors.As(err, &aws):
		return "aws", ""
	case apierrors.ReasonForError(err) != metav1.StatusReasonUnknown:
		return "kubernetes", ""
	}
	return "error", ""
}
