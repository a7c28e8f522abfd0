package images

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/drive"
)

const (
	// Every is how often a Watch looks. Images change by the week.
	Every = time.Hour
	// retry is how soon it looks again after it got no answer.
	retry = 5 * time.Minute
	// timeout bounds one look.
	timeout = time.Minute
)

// server is the part of discovery that Watch uses.
type server interface {
	ServerVersion() (*apiversion.Info, error)
}

// looker is the part of Looker that Watch uses.
type looker interface {
	Look(ctx context.Context) ([]Image, error)
}

// Watch says which groups' images are too old, too new or unknown, for as long as
// they are.
type Watch struct {
	Images looker
	// Server is the API server.
	Server server
	// Joinery is the version of this controller.
	Joinery string
	// Events gets a Warning regarding About for each problem.
	Events record.EventRecorder
	// About is what operators look at when they look at the controller.
	About runtime.Object
	// Metrics show it.
	Metrics *Metrics
	// Log gets a line for each problem.
	Log *slog.Logger
	// Meter counts the rounds; nil for none.
	Meter *drive.Meter
}

// Metrics show which images have problems.
type Metrics struct{ problems *prometheus.GaugeVec }

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "joinery_image_problem",
		Help: "1 for each machine image of the cluster's groups whose versions are unsupported or unknown, by reason; absent when there is none.",
	}, []string{"image", "reason"})}
	reg.MustRegister(m.problems)
	return m
}

// forget drops what was shown of the images that were seen, and of all others if those
// are all there are. What could not be read is as it was last seen.
func (m *Metrics) forget(seen []Image, all bool) {
	if all {
		m.problems.Reset()
	}
	for _, i := range seen {
		m.problems.DeletePartialMatch(prometheus.Labels{"image": i.ID})
	}
}

// Run looks at once and every hour, until ctx ends. What it last said leaves
// the metrics with it: the next leader says it.
func (w *Watch) Run(ctx context.Context) error {
	defer w.Metrics.problems.Reset()
	return drive.Rounds{
		Name: "images", Round: w.round, Every: Every, Timeout: timeout, Retry: drive.Backoff{First: retry, Last: Every},
		Meter: w.Meter, Log: w.Log,
	}.Run(ctx)
}

// round judges what could be read, and is an error for what could not.
func (w *Watch) round(ctx context.Context) (rest time.Duration, err error) {
	info, err := w.Server.ServerVersion()
	if err != nil {
		return 0, fmt.Errorf("ask for the version of the API server: %w", err)
	}
	seen, unread := w.Images.Look(ctx)
	var all []Problem
	for _, i := range seen {
		found, err := Judge(i, Versions{APIServer: info.GitVersion, Joinery: w.Joinery})
		if err != nil {
			return 0, err
		}
		all = append(all, found...)
	}
	w.Metrics.forget(seen, unread == nil)
	for _, p := range all {
		w.Metrics.problems.WithLabelValues(p.Image.ID, string(p.Reason)).Set(1)
		w.Log.Warn(p.Found, "image", p.Image.ID, "groups", p.Image.Groups, "reason", p.Reason, "why", p.Why, "fix", p.Fix)
		w.Events.Eventf(w.About, corev1.EventTypeWarning, string(p.Reason), "%s: %s. Fix: %s", p.Found, p.Why, p.Fix)
	}
	if unread != nil {
		return 0, fmt.Errorf("look at the groups' images: %w", unread)
	}
	return 0, nil
}
