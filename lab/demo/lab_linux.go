package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/rbac"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/progress"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/systemd"
)

const (
	// Cluster is the name of the demo's cluster.
	Cluster = "demo"
	// ControllerRole and NodeRole are the roles of the masters and the workers.
	ControllerRole, NodeRole = "joinery-controller", "joinery-node"

	region      = "us-west-2"
	masterType  = "t3.medium"
	awsPort     = 4566
	agentUnit   = "joinery-agent.service"
	controlUnit = "joinery-controller.service"
	keyAlias    = "alias/joinery-demo"
)

// masterIP is the first address that the simulated EC2 gives out.
var masterIP = netip.AddrFrom4([4]byte{10, 99, 0, 11})

// Lab is one running demo world: the simulated AWS, the machines and the
// control plane with joinery-controller on it.
type Lab struct {
	World   *awssim.World
	Host    *machine.Host
	Cluster *cluster.Cluster

	stop context.CancelFunc // ends the simulated AWS's listener
	done chan error         // what its listener ended with
}

// labOptions says what to make a Lab of.
type labOptions struct {
	kit    *kit.Kit
	own    map[string]string // Joinery's programs: name -> path
	logs   string            // where the machines' logs go; empty for nowhere
	log    *slog.Logger
	report progress.Func
	// configure may change the controller's configuration.
	configure func(*v1alpha1.ControllerSpec)
}

// newLab brings the world up as far as a working control plane without nodes.
// A Lab that was returned with an error must be closed too, unless it is nil.
func newLab(ctx context.Context, o labOptions) (*Lab, error) {
	host, err := machine.NewHost(machine.Options{LogDir: o.logs, Services: cluster.Services(masterIP), Log: o.log})
	if err != nil {
		return nil, fmt.Errorf("make lab: %w", err)
	}
	l := &Lab{Host: host, World: &awssim.World{Region: region, Log: o.log, Timing: awssim.Timing{
		Proceed: 200 * time.Millisecond, Health: 2 * time.Second,
	}}}
	if err := l.serveAWS(ctx, o); err != nil {
		return l, fmt.Errorf("make lab: %w", err)
	}
	if err := l.makeMaster(ctx, o); err != nil {
		return l, fmt.Errorf("make lab: %w", err)
	}
	if err := l.installController(ctx, o); err != nil {
		return l, fmt.Errorf("make lab: %w", err)
	}
	return l, nil
}

// serveAWS bakes the machines' image and opens the simulated AWS to them.
func (l *Lab) serveAWS(ctx context.Context, o labOptions) error {
	files, err := agentFiles(o.own["joinery-agent"])
	if err != nil {
		return err
	}
	ami, err := o.kit.AMI(l.Host.Dir(), region, files)
	if err != nil {
		return err
	}
	l.World.Hypervisor = &cluster.Hypervisor{Host: l.Host, World: l.World, Image: ami, Customize: maskAgentOnMaster}
	if _, err := l.World.CreateKey(keyAlias); err != nil {
		return err
	}
	listener, err := l.Host.VPC().Listen(ctx, awsPort)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop, l.done = stop, make(chan error, 1)
	go func() { l.done <- l.World.Serve(serving, listener) }()
	return nil
}

// awsEnvironment is all that makes production programs talk to the simulated
// AWS: the SDK's own variable.
func awsEnvironment() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL": fmt.Sprintf("http://%s:%d", vpc.Gateway, awsPort)}
}

// agentFiles is what the AMI needs of Joinery.
func agentFiles(binary string) (map[string]image.File, error) {
	unit, err := systemd.Unit(agentUnit)
	if err != nil {
		return nil, err
	}
	files := map[string]image.File{
		"/usr/local/bin/joinery-agent":     {Source: binary, Mode: 0o755},
		"/etc/systemd/system/" + agentUnit: {Data: unit},
	}
	for path, file := range image.Enable("multi-user.target", agentUnit) {
		files[path] = file
	}
	for path, file := range image.DropIn(agentUnit, awsEnvironment()) {
		files[path] = file
	}
	return files, nil
}

// maskAgentOnMaster keeps the agent of the common image from running on the
// master, which has no NodeConfig and would wait for one for ever.
func maskAgentOnMaster(i awssim.Instance, spec *machine.Spec) {
	if i.Role == ControllerRole {
		spec.Files = map[string]image.File{"/etc/systemd/system/" + agentUnit: {Link: "/dev/null"}}
	}
}

func (l *Lab) makeMaster(ctx context.Context, o labOptions) error {
	instance, err := l.World.AddInstance(awssim.InstanceSpec{Type: masterType, PrivateIP: masterIP.String(), Role: ControllerRole,
		Tags: map[string]string{"Name": "master", v1alpha1.ClusterTag: Cluster}})
	if err != nil {
		return err
	}
	master, err := l.machine(ctx, instance.ID)
	if err != nil {
		return err
	}
	l.Cluster, err = cluster.Init(ctx, cluster.Options{Host: l.Host, Master: master, Kit: o.kit, Name: Cluster,
		NodeName: instance.PrivateDNSName, ProviderID: fmt.Sprintf("aws:///%s/%s", instance.Zone, instance.ID), Report: o.report})
	return err
}

// machine waits until the instance has a machine.
func (l *Lab) machine(ctx context.Context, id string) (*machine.Machine, error) {
	var m *machine.Machine
	err := await(ctx, "instance "+id+" has a machine", func(context.Context) (bool, string, error) {
		var ok bool
		m, ok = l.Host.Machine(id)
		return ok, "not launched", nil
	})
	return m, err
}

func (l *Lab) installController(ctx context.Context, o labOptions) error {
	unit, err := systemd.Unit(controlUnit)
	if err != nil {
		return err
	}
	config, err := controllerConfig(o.configure)
	if err != nil {
		return err
	}
	manifests, err := rbac.Manifests()
	if err != nil {
		return err
	}
	return o.report.Step("install joinery-controller", func() (bool, error) {
		return false, l.Cluster.InstallController(ctx, cluster.Controller{Binary: o.own["joinery-controller"], Config: config,
			RBAC: manifests, Unit: unit, Environment: awsEnvironment()})
	})
}

// Close takes everything down and then says what is left, which must be nothing.
func (l *Lab) Close(ctx context.Context) (leftovers []string, err error) {
	l.World.Close()
	if l.stop != nil {
		l.stop()
		err = <-l.done
	}
	err = errors.Join(err, l.Host.Close(ctx))
	left, lerr := machine.Leftovers(l.Host.Prefix(), machine.DefaultRoot)
	return left, errors.Join(err, lerr)
}
