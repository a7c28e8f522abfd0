package main

import (
	"context"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/joinery/joinery/controlplane/apiserver"
	"github.com/joinery/joinery/controlplane/awscalls"
	"github.com/joinery/joinery/controlplane/health"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/internal/version"
)

// rounds is how long the service of a name may go without a round that
// succeeded: several of its own pauses. Any other service waits for events, and
// is in trouble when it ends again and again for longer than restless.
var rounds = map[string]time.Duration{
	"token":   15 * time.Minute, // of those that fail: it looks every minute
	"csr":     5 * time.Minute,
	"posture": 3 * posture.Every,
	"hooks":   3 * hooks.Rest,
}

const restless = 5 * time.Minute

// watched has b watch all services.
func watched(b *progress.Board, services []leader.Service) []leader.Service {
	out := make([]leader.Service, len(services))
	for i, s := range services {
		if patience, ok := rounds[s.Name]; ok {
			out[i] = b.WatchRounds(s, patience)
		} else {
			out[i] = b.Watch(s, restless)
		}
	}
	return out
}

// startProbes returns the probes of a process, which look until ctx ends; broken says
// what is wrong with the configuration on disk.
func startProbes(ctx context.Context, clients *apiserver.Clients, credentials aws.CredentialsProvider, broken func() error, b *progress.Board, leading func() bool) probes {
	api := health.APIServer(clients.Probe.Discovery().RESTClient())
	alive := health.NewMonitor(health.Services(b, api))
	ready := health.NewMonitor(api, clients.Certificate.Check(), health.Credentials(credentials), health.Config(broken), health.Leadership(leading))
	go alive.Run(ctx)
	go ready.Run(ctx)
	return probes{alive: alive, ready: ready}
}

// registerProcess shows what concerns the whole process and no service alone. Metrics
// of services are registered by assemble.
func registerProcess(reg prometheus.Registerer, leading func() bool, certificate apiserver.Certificate, c *aws.Config, board *progress.Board) {
	registerIdentity(reg, leading)
	certificate.Register(reg)
	awscalls.Count(c, reg)
	reg.MustRegister(board)
}

// registerIdentity shows which build runs, and whether it leads.
func registerIdentity(reg prometheus.Registerer, leading func() bool) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "joinery_build_info", Help: "1, labelled with the version of this build and of Go.",
		ConstLabels: prometheus.Labels{"version": version.Version(), "goversion": runtime.Version()},
	})
	build.Set(1)
	reg.MustRegister(build, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "joinery_leader", Help: "1 on the master that leads, else 0.",
	}, func() float64 {
		if leading() {
			return 1
		}
		return 0
	}))
}

// beat is what the rotator reports to; it also tells of each round that
// succeeded.
type beat struct {
	*token.Metrics
	done func()
}

// Published is called with each round that succeeded.
func (b beat) Published(issued, expires time.Time) {
	b.Metrics.Published(issued, expires)
	b.done()
}
