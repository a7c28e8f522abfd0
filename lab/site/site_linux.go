package site

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/balancer"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/debs"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/progress"
)

const (
	// Region is where every Site is.
	Region = "us-west-2"
	// ControllerRole and NodeRole are the IAM roles of the masters and the workers.
	ControllerRole, NodeRole = "joinery-controller", "joinery-node"
	// ControllerUnit is the systemd unit of joinery-controller.
	ControllerUnit = controllerName + ".service"

	// accountID is that of the simulated AWS.
	accountID = "123456789012"
	agentUnit = "joinery-agent.service"
	// controllerName is the name of the program, and of its package.
	controllerName = "joinery-controller"
	masterType     = "t3.medium"
	awsPort        = 4566
	// firstMaster is the last octet of the first master's address, which is the
	// first that the simulated EC2 gives out; the others follow.
	firstMaster = 11
)

// Options says what to make a Site of.
type Options struct {
	Kit *kit.Kit
	// Programs are Joinery's own, joinery-agent and joinery-controller: name ->
	// path, as kit.Own builds them.
	Programs map[string]string
	// Packages, if set, are what the masters get joinery-controller from, in place of
	// the program.
	Packages debs.Set
	// Cluster is the cluster's name.
	Cluster string
	// Masters is how many there are; 1 when it is 0. With one, its API server is
	// the cluster's endpoint; with more, a load balancer in front of them is.
	Masters int
	// LogDir is where the machines' logs go; empty for nowhere.
	LogDir string
	Log    *slog.Logger
	Report progress.Func
	// Configure may change the controller's configuration.
	Configure func(*v1alpha1.ControllerSpec)
	// Bare leaves all of Joinery out, and needs no Programs: the masters are as kubeadm
	// makes them, with kubeadm's automatic approval, and their role may do nothing.
	Bare bool
	// MasterRole is the role of the masters; ControllerRole when it is empty.
	MasterRole string
	// Services maps virtual addresses of further Services to what answers there, as
	// machine.Options.Services does.
	Services map[string]string
}

// Site is a running installation. Close it.
type Site struct {
	World      *awssim.World
	Host       *machine.Host
	Hypervisor *cluster.Hypervisor
	Cluster    *cluster.Cluster
	// Balancer stands in front of the masters; nil when there is one master.
	Balancer *balancer.Balancer

	o      Options
	cancel context.CancelFunc // ends what listens on the router
	served []chan error       // what each listener ended with
}

// Open brings an installation up as far as a working control plane without
// nodes. A Site that is returned with an error must be closed too, unless it is
// nil.
func Open(ctx context.Context, o Options) (*Site, error) {
	if o.Masters == 0 {
		o.Masters = 1
	}
	if o.MasterRole == "" {
		o.MasterRole = ControllerRole
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	services := cluster.Services(o.endpoint())
	maps.Copy(services, o.Services)
	host, err := machine.NewHost(machine.Options{LogDir: o.LogDir, Services: services, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("make lab: %w", err)
	}
	s := &Site{Host: host, o: o, World: &awssim.World{Region: Region, Log: o.Log, Timing: awssim.Timing{
		Proceed: 200 * time.Millisecond, Health: 2 * time.Second,
	}}}
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	steps := []func(context.Context) error{
		func(ctx context.Context) error { return s.serveAWS(ctx, serving) },
		func(ctx context.Context) error { return s.serveBalancer(ctx, serving) },
		s.makeMasters,
	}
	if !o.Bare {
		steps = append(steps, s.installControllers)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return s, fmt.Errorf("make lab: %w", err)
		}
	}
	return s, nil
}

// masterIP is the address of the master with the given number, from 0.
func masterIP(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(firstMaster + n)}) }

// endpoint is the address at which clients find an API server.
func (o Options) endpoint() netip.Addr {
	if o.Masters > 1 {
		return cluster.BalancerIP
	}
	return masterIP(0)
}

// KeyAlias names the KMS key that a cluster's join bundle is encrypted with.
func KeyAlias(cluster string) string { return "alias/joinery-" + cluster }

// Close takes everything down and then says what is left, which must be nothing.
func (s *Site) Close(ctx context.Context) (leftovers []string, err error) {
	s.World.Close()
	s.cancel()
	for _, served := range s.served {
		err = errors.Join(err, <-served)
	}
	err = errors.Join(err, s.Host.Close(ctx))
	left, lerr := machine.Leftovers(s.Host.Prefix(), machine.DefaultRoot)
	return left, errors.Join(err, lerr)
}
