package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/loop"
	"github.com/joinery/joinery/autoscaler/price"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
)

// scaler runs the autoscaler's loop. A Loop runs once, so each run has its own.
type scaler struct {
	assembly
	facts
	fleet     *awsfleet.Reader
	templates *launch.Templates
	removed   func()
	current   atomic.Pointer[loop.Loop]
}

func (s *scaler) run(ctx context.Context) error {
	// The binder knows no Node before the store follows them.
	stop, err := s.store.FollowNodes(ctx, cache.ResourceEventHandlerFuncs{})
	if err != nil {
		return err
	}
	defer stop()
	metrics := &lent{Registerer: s.reg}
	defer metrics.giveBack()
	l, err := loop.New(loop.Options{
		Kube: s.client, AutoScaling: autoscaling.NewFromConfig(s.aws), EC2: ec2.NewFromConfig(s.aws), Fleet: s.fleet, Templates: s.templates, Store: s.store, Binder: s.binder,
		Spec: s.spec, Prices: s.prices, Profile: s.profile, Log: s.log.With("part", "autoscaler"), Metrics: metrics, Meter: s.meter, Events: s.events, Removed: s.removed,
	})
	if err != nil {
		return err
	}
	s.current.Store(l)
	return l.Run(ctx)
}

// facts are what the files say that the autoscaler's settings name.
type facts struct {
	prices  *price.Table
	profile *fit.Profile // nil: kube-scheduler's own defaults
}

// readFacts reads those files. The error is an *v1alpha1.InvalidError that names
// each setting whose file is of no use, with everything that is wrong with it.
func readFacts(s v1alpha1.AutoscalerSettings) (facts, error) {
	f := facts{prices: price.Default()}
	invalid := &v1alpha1.InvalidError{Kind: v1alpha1.KindControllerConfig}
	add := func(setting string, err error) {
		if err != nil {
			invalid.Problems = append(invalid.Problems, v1alpha1.Problem{Field: "spec.autoscaler." + setting, Detail: err.Error()})
		}
	}
	var err error
	if s.Prices != "" {
		f.prices, err = readPrices(s.Prices)
		add("prices", err)
	}
	if s.SchedulerConfig != "" {
		f.profile, err = readProfile(s.SchedulerConfig)
		add("schedulerConfig", err)
	}
	if len(invalid.Problems) > 0 {
		return facts{}, invalid
	}
	return f, nil
}

func readPrices(path string) (*price.Table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	t, err := price.Read(file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return t, nil
}

func readProfile(path string) (*fit.Profile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := fit.ReadProfile(text, corev1.DefaultSchedulerName)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return p, nil
}

// ServeHTTP shows the last rounds' decisions.
func (s *scaler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l := s.current.Load()
	if l == nil {
		http.Error(w, "no decisions: this master does not lead, or the autoscaler is disabled", http.StatusServiceUnavailable)
		return
	}
	l.Decisions().ServeHTTP(w, r)
}

// lent is a registry whose entries are taken out again at the end of a run.
type lent struct {
	prometheus.Registerer
	collectors []prometheus.Collector
}

// Register remembers what it registers.
func (l *lent) Register(c prometheus.Collector) error {
	if err := l.Registerer.Register(c); err != nil {
		return err
	}
	l.collectors = append(l.collectors, c)
	return nil
}

// MustRegister is Register for those who expect no error.
func (l *lent) MustRegister(cs ...prometheus.Collector) {
	l.Registerer.MustRegister(cs...)
	l.collectors = append(l.collectors, cs...)
}

func (l *lent) giveBack() {
	for _, c := range l.collectors {
		l.Unregister(c)
	}
}
