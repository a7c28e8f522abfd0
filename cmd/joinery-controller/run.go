package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/klog/v2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/apiserver"
	"github.com/joinery/joinery/controlplane/events"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/internal/version"
)

// run is the program: it returns when ctx ends, when the Lease is lost, or when
// something is wrong that only an operator can mend. broken says what is wrong
// with the configuration on disk.
func run(ctx context.Context, c *v1alpha1.ControllerConfig, broken func() error, log *slog.Logger) error {
	// Before anything that takes time: unhandled, a SIGHUP would end the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	klog.SetSlogLogger(log.With("part", "client-go"))
	awsConfig, err := loadAWS(ctx, &c.Spec)
	if err != nil {
		return err
	}
	api, err := apiserver.Connect(c.Spec.Kubeconfig, "joinery-controller/"+version.Version())
	if err != nil {
		return fmt.Errorf("spec.kubeconfig: %w", err)
	}
	client := api.Work
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	election := leader.NewElection(api.Lease, identity(), log)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	board := &progress.Board{}
	registerProcess(reg, election.Leading, api.Certificate, &awsConfig, board)
	p, err := assemble(c.Spec, awsConfig, client, events.Start(ctx, client, "joinery-controller"), reg, log, board, election.Confirm)
	if err != nil {
		return err
	}
	listener, err := listen(c.Spec)
	if err != nil {
		return err
	}
	probes := startProbes(ctx, api, awsConfig.Credentials, broken, board, election.Leading)
	served := make(chan error, 1)
	go func() {
		defer stop() // without metrics and probes no one would see what goes wrong
		served <- serve(ctx, listener, guarded(c.Spec, api.Probe, handler(reg, p.scaler, probes), log), log)
	}()
	go rotateOnHangup(ctx, hangups, p.rotator.Rotate, election.Leading, log)

	log.Info("joinery-controller", "version", version.Version(), "cluster", c.Spec.Cluster, "region", c.Spec.Region, "vpc", c.Spec.VPCID, "metrics", listener.Addr())
	err = election.Run(ctx, watched(board, p.services)...)
	stop()
	if failed := <-served; err == nil {
		err = failed
	}
	return err
}

// identity is unique over restarts: a restarted process must not take the Lease
// of its predecessor, which may still be acting, for its own.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + uuid.NewString()
}

// rotateOnHangup lets SIGHUP to the leader rotate the join token.
func rotateOnHangup(ctx context.Context, hangups <-chan os.Signal, rotate func(), leading func() bool, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			if !leading() {
				log.Warn("SIGHUP ignored: only the leader rotates tokens")
				continue
			}
			log.Info("rotation requested by SIGHUP")
			rotate()
		}
	}
}
