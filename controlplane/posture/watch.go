package posture

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/drive"
)

// Every is how often a Watch asks.
const Every = 10 * time.Minute

// retry is how soon it asks again after it got no answer.
const retry = time.Minute

// timeout bounds one round of questions.
const timeout = 30 * time.Second

// Access is what a Watch does with the API server.
var Access = []drive.Access{{Group: "authorization.k8s.io", Resource: "subjectaccessreviews", Verbs: []string{"create"}}}

// EventReason is the reason of the Event that says so.
const EventReason = "UnsafeAutoApproval"

// Metrics show what is approved unseen.
type Metrics struct {
	unsafe  *prometheus.GaugeVec
	checked prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		unsafe: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "joinery_unsafe_auto_approval",
			Help: "1 for each right by which kube-controller-manager approves nodes' signing requests that nobody judges; absent when there is none.",
		}, []string{"binding", "requester", "right"}),
		checked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "joinery_auto_approval_checked_timestamp_seconds",
			Help: "When the API server last said whether there are such rights; 0 on a master that never led.",
		}),
	}
	reg.MustRegister(m.unsafe, m.checked)
	return m
}

func (m *Metrics) show(found []Approval) {
	m.unsafe.Reset()
	for _, a := range found {
		m.unsafe.WithLabelValues(a.Binding, a.Requester.Name, a.Right).Set(1)
	}
	m.checked.SetToCurrentTime()
}

// Watch says loudly, again and again, that requests are approved unseen, for as
// long as they are.
type Watch struct {
	// Reviews is the API server's SubjectAccessReviews.
	Reviews reviews
	// Events gets a Warning regarding About for each such right.
	Events record.EventRecorder
	// About is what operators look at when they look at the controller.
	About runtime.Object
	// Metrics show it.
	Metrics *Metrics
	// Log gets an error for each such right.
	Log *slog.Logger
	// Asked, unless nil, is called after each round that got its answers.
	Asked func()
	// Meter counts the rounds; nil for none.
	Meter *drive.Meter
}

// Run asks at once and every ten minutes, until ctx ends. What it last said
// leaves the metrics with it: the next leader says it.
func (w *Watch) Run(ctx context.Context) error {
	defer w.Metrics.unsafe.Reset()
	return drive.Rounds{
		Name: "posture", Round: w.round, Every: Every, Timeout: timeout, Retry: drive.Backoff{First: retry, Last: retry},
		Meter: w.Meter, Done: w.Asked, Log: w.Log,
	}.Run(ctx)
}

func (w *Watch) round(ctx context.Context) (rest time.Duration, err error) {
	all, err := Ask(ctx, w.Reviews)
	if err != nil {
		return 0, fmt.Errorf("look for automatic approval: %w", err)
	}
	var found []Approval
	for _, a := range all {
		if a.Unsafe() {
			found = append(found, a)
			w.say(a)
		}
	}
	w.Metrics.show(found)
	return 0, nil
}

func (w *Watch) say(a Approval) {
	w.Log.Error("UNSAFE: kube-controller-manager approves requests that nobody judges",
		"requester", a.Requester.Name, "right", a.Right, "binding", a.Binding, "reason", a.Reason, "mend", a.Mend())
	w.Events.Eventf(w.About, corev1.EventTypeWarning, EventReason, "%s %s (%s). Mend: %s", a.Requester.Name, a.Worth(), a.Reason, a.Mend())
}
