package main

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/autoscaler/loop"
)

// scaler runs the autoscaler's loop. A Loop runs once, so each run has its own.
type scaler struct {
	assembly
	removed func()
	current atomic.Pointer[loop.Loop]
}

func (s *scaler) run(ctx context.Context) error {
	metrics := &lent{Registerer: s.reg}
	defer metrics.giveBack()
	l, err := loop.New(loop.Options{
		Kube: s.client, AutoScaling: autoscaling.NewFromConfig(s.aws), EC2: ec2.NewFromConfig(s.aws),
		Spec: s.spec, Log: s.log.With("part", "autoscaler"), Metrics: metrics, Events: s.events, Removed: s.removed,
	})
	if err != nil {
		return err
	}
	s.current.Store(l)
	return l.Run(ctx)
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
