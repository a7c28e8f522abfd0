package main

import (
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/controlplane/health"
	"github.com/joinery/joinery/controlplane/hooks"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/controlplane/token"
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

// newProbes returns the probes of a process; broken says what is wrong with the
// configuration on disk.
func newProbes(client kubernetes.Interface, credentials aws.CredentialsProvider, broken func() error, b *progress.Board, leading func() bool) probes {
	api := health.APIServer(client.Discovery().RESTClient())
	return probes{
		alive: health.Handler(health.Services(b, api)),
		ready: health.Handler(api, health.Credentials(credentials), health.Config(broken), health.Leadership(leading)),
	}
}

// registerIdentity shows which build runs, and whether it leads.
func registerIdentity(reg prometheus.Registerer, leading func() bool) {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "joinery_build_info", Help: "1, labelled with the version of this build and of Go.",
		ConstLabels: prometheus.Labels{"version": version(), "goversion": runtime.Version()},
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
