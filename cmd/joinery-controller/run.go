package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/awscalls"
	"github.com/joinery/joinery/controlplane/events"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
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
	client, err := connect(c.Spec.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	election := leader.NewElection(client, identity(), log)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registerIdentity(reg, election.Leading)
	awscalls.Count(&awsConfig, reg)
	board := &progress.Board{}
	reg.MustRegister(board)
	p, err := assemble(c.Spec, awsConfig, client, recorder(ctx, client), reg, log, board, election.Confirm)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Spec.MetricsAddress)
	if err != nil {
		return fmt.Errorf("spec.metricsAddress: %w", err)
	}
	served := make(chan error, 1)
	go func() {
		defer stop() // without metrics and probes nobody would see what goes wrong
		served <- serve(ctx, listener, handler(reg, p.scaler, newProbes(client, awsConfig.Credentials, broken, board, election.Leading)), log)
	}()
	go rotateOnHangup(ctx, hangups, p.rotator.Rotate, election.Leading, log)

	log.Info("joinery-controller", "version", version(), "cluster", c.Spec.Cluster, "region", c.Spec.Region, "vpc", c.Spec.VPCID, "metrics", listener.Addr())
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

func connect(kubeconfig string) (kubernetes.Interface, error) {
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("spec.kubeconfig: %w", err)
	}
	rest.UserAgent = "joinery-controller/" + version()
	// A hundred nodes that boot at once ask for a hundred decisions at once.
	rest.QPS, rest.Burst = 100, 200
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("spec.kubeconfig: %w", err)
	}
	return client, nil
}

func recorder(ctx context.Context, client kubernetes.Interface) record.EventRecorder {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(metav1.NamespaceAll)})
	return events.NewRecorder(b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "joinery-controller"}))
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
