package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
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

// serve answers on l until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}
