package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/gate"
)

// probes answer for a whole process.
type probes struct {
	// alive: it runs, and if it leads, its services get something done.
	alive http.Handler
	// ready: it could lead now.
	ready http.Handler
}

// handler serves /metrics, /decisions (the autoscaler's last rounds), /healthz
// and /readyz.
func handler(reg *prometheus.Registry, decisions http.Handler, p probes) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("GET /decisions", decisions)
	mux.Handle("GET /healthz", p.alive)
	mux.Handle("GET /readyz", p.ready)
	return mux
}

// listen opens the endpoint; with TLS if that is configured.
func listen(s v1alpha1.ControllerSpec) (net.Listener, error) {
	l, err := net.Listen("tcp", s.MetricsAddress)
	if err != nil {
		return nil, fmt.Errorf("spec.metricsAddress: %w", err)
	}
	if s.MetricsTLS == nil {
		return l, nil
	}
	pair := &gate.KeyPair{CertFile: s.MetricsTLS.CertFile, KeyFile: s.MetricsTLS.KeyFile}
	if _, err := pair.Get(nil); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("spec.metricsTLS: %w", err)
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: pair.Get, MinVersion: tls.VersionTLS12}), nil
}

// guarded puts the API server's authentication and authorization in front of h where
// others than this host can reach it.
func guarded(s v1alpha1.ControllerSpec, client kubernetes.Interface, h http.Handler, log *slog.Logger) http.Handler {
	if s.MetricsTLS == nil {
		return h
	}
	return gate.New(client, h, log)
}

// serve answers on l until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
