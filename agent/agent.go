// Package agent is the whole life of joinery-agent on an instance: the boot up
// to a Ready Node, and then the report about that Node until it stops.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
)

// Options say how the agent runs. All must be set.
type Options struct {
	// Version of the agent, for the node report.
	Version string
	// Paths of the node.
	Paths join.Paths
	// State is the file in which the agent remembers.
	State string
	// Holds is the directory of hold files.
	Holds string
	Log   *slog.Logger
}

const (
	// DefaultState is where the agent remembers, in its unit's StateDirectory.
	DefaultState = "/var/lib/joinery/state.json"
	// bootIDFile gives the kernel's id of this boot (random(4)).
	bootIDFile = "/proc/sys/kernel/random/boot_id"
	// readyAnyway is when the agent counts as up although it does not know yet
	// which instance this is: a node that reboots must come back even where
	// the instance metadata does not.
	readyAnyway = 20 * time.Second
)

// Run runs the agent until ctx ends; that is no error.
func Run(ctx context.Context, o Options) error {
	id, err := os.ReadFile(bootIDFile)
	if err != nil {
		return fmt.Errorf("read boot id: %w", err)
	}
	a := &agent{
		options: o, log: o.Log, bootID: strings.TrimSpace(string(id)), metadata: imds.New(),
		units: &host.Units{}, bus: &host.Bus{}, notifier: host.NewNotifier(o.Log), began: time.Now(),
	}
	defer a.units.Close()
	defer a.bus.Close()
	defer a.notifier.Stopping()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.notifier.Watch(ctx) })
	group.Go(func() error { return a.live(ctx) })
	timer := time.AfterFunc(readyAnyway, a.notifier.Ready)
	defer timer.Stop()
	err = group.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// agent holds what the boot and the report share.
type agent struct {
	options  Options
	log      *slog.Logger
	bootID   string
	began    time.Time
	metadata *imds.Client
	units    *host.Units
	bus      *host.Bus
	notifier *host.Notifier

	aws   account
	guard *join.Guard
	// client acts with the credentials of clientIdentity; nil before the first.
	client         *corev1client.CoreV1Client
	clientIdentity string
	publisher      *report.Publisher
	state          boot.State
}

// live boots the node and reports about it until ctx ends.
func (a *agent) live(ctx context.Context) error {
	var err error
	if a.state, err = boot.Load(a.options.State); err != nil {
		a.log.Warn("starting without the memory of earlier runs", "error", err)
	}
	sequence := &boot.Sequence{Supervisor: a.notifier, Random: rand.Float64, Log: a.log}
	// The timeline of a boot that is complete is told already: a restart of the
	// agent hours later is no part of it.
	if known := a.state.BootID == a.bootID; !known {
		sequence.Timeline = a.beforeAgent(ctx)
	} else if !a.state.Complete {
		sequence.Timeline = a.state.Boot
	}
	work := a.work(func(s boot.State) error {
		if !s.Complete {
			s.Boot = sequence.Timeline
		}
		a.state = s
		return s.Save(a.options.State)
	})
	sequence.Stages = work.Stages()
	return cycle(ctx, work, sequence, func(ctx context.Context, n join.Node) error {
		a.log.Info("node is up", "node", n.Name, "seconds", time.Since(a.began).Seconds())
		err := a.publisher.Run(ctx, a.nodeReport(n))
		a.began = time.Now()
		return err
	})
}

// cycle runs the stages and then publish, which ends with a *join.LostError when
// the Node is lost; the stages then make a new join. Any other end of either is
// the end of cycle.
func cycle(ctx context.Context, work *boot.Work, sequence *boot.Sequence, publish func(context.Context, join.Node) error) error {
	for {
		if err := sequence.Run(ctx); err != nil {
			return err
		}
		if err := work.Finish(sequence.Timeline); err != nil {
			return err
		}
		var lost *join.LostError
		if err := publish(ctx, work.Node()); !errors.As(err, &lost) {
			return err
		}
		// What follows has a timeline of its own.
		sequence.Timeline, sequence.Purpose = nil, "rejoin after "+string(lost.Reason)
		if err := work.Lose(lost); err != nil {
			return err
		}
	}
}

// beforeAgent is the part of the boot that went by before the agent was
// started: firmware and loader do not count, the kernel and systemd do.
func (a *agent) beforeAgent(ctx context.Context) []v1alpha1.BootPhase {
	started, err := a.bus.BootStarted(ctx)
	took := a.began.Sub(started)
	if err != nil || took < 0 {
		a.log.Info("the time before the agent is not known", "error", err, "started", started)
		return nil
	}
	return []v1alpha1.BootPhase{{Phase: "system", StartedAt: started.UTC(), Milliseconds: took.Milliseconds(), Attempts: 1}}
}

func (a *agent) nodeReport(n join.Node) v1alpha1.NodeReport {
	return v1alpha1.NodeReport{
		InstanceID: n.Facts.InstanceID, ImageID: n.Facts.ImageID, AgentVersion: a.options.Version,
		BootID: a.bootID, TokenID: a.state.TokenID, Boot: a.state.Boot, Rejoin: a.state.Rejoin,
	}
}
