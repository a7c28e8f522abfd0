package site

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/deploy/rbac"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/balancer"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/debs"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/systemd"
)

// How the load balancer looks at the masters. AWS's own would take at least
// 5 s between two checks.
const (
	checkInterval = 2 * time.Second
	checkTimeout  = time.Second
	drainTime     = 5 * time.Second
)

// serveBalancer puts the load balancer in front of several masters.
func (s *Site) serveBalancer(ctx, serving context.Context) error {
	if s.o.Masters == 1 {
		return nil
	}
	listener, err := s.Host.VPC().Listen(ctx, cluster.APIPort)
	if err != nil {
		return err
	}
	dial := s.Host.VPC().DialContext
	s.Balancer = balancer.New(balancer.Options{
		Dial: dial, Check: balancer.HTTPS(dial, "/readyz"),
		Interval: checkInterval, Timeout: checkTimeout, Drain: drainTime, Log: s.o.Log.With("part", "balancer"),
	})
	s.serve(func() error { return s.Balancer.Serve(serving, listener) })
	return nil
}

// makeMasters launches all masters at once, makes the control plane on the
// first, and joins the others one after another: etcd takes in one new member at
// a time.
func (s *Site) makeMasters(ctx context.Context) error {
	masters := make([]cluster.Master, s.o.Masters)
	for n := range masters {
		var err error
		if masters[n], err = s.launchMaster(ctx, n); err != nil {
			return err
		}
	}
	o := cluster.Options{Host: s.Host, Kit: s.o.Kit, Name: s.o.Cluster, Master: masters[0], Report: s.o.Report}
	if s.Balancer != nil {
		o.Targets = s.Balancer
	}
	var err error
	if s.Cluster, err = cluster.Init(ctx, o); err != nil {
		return err
	}
	if err := s.closeAutoApproval(ctx); err != nil {
		return err
	}
	for _, m := range masters[1:] {
		if err := s.Cluster.JoinMaster(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// launchMaster starts the instance of the master with the given number and
// waits for its machine.
func (s *Site) launchMaster(ctx context.Context, n int) (cluster.Master, error) {
	instance, err := s.World.AddInstance(awssim.InstanceSpec{
		Type: masterType, PrivateIP: masterIP(n).String(), Role: ControllerRole, Zone: Region + string("abc"[n%3]),
		Tags: map[string]string{"Name": fmt.Sprintf("master-%d", n), v1alpha1.ClusterTag: s.o.Cluster},
	})
	if err != nil {
		return cluster.Master{}, err
	}
	m, err := s.machine(ctx, instance.ID)
	if err != nil {
		return cluster.Master{}, err
	}
	return cluster.Master{Machine: m, NodeName: instance.PrivateDNSName, ProviderID: fmt.Sprintf("aws:///%s/%s", instance.Zone, instance.ID)}, nil
}

// machine waits until the instance has a machine, and this was started.
func (s *Site) machine(ctx context.Context, id string) (*machine.Machine, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if m, ok := s.Host.Machine(id); ok && m.State() == machine.Running {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the machine of %s: %w", id, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (s *Site) installControllers(ctx context.Context) error {
	units := map[string][]byte{}
	for _, name := range []string{systemd.Controller, systemd.Credentials, systemd.CredentialsTimer} {
		text, err := systemd.Unit(name)
		if err != nil {
			return err
		}
		units[name] = text
	}
	config, err := controllerConfig(s.o)
	if err != nil {
		return err
	}
	manifests, err := rbac.Manifests()
	if err != nil {
		return err
	}
	return s.o.Report.Step("install "+controllerName, func() (bool, error) {
		return false, s.Cluster.InstallController(ctx, cluster.Controller{
			Package: s.o.Packages[controllerName], Binary: s.o.Programs[controllerName], Config: config,
			RBAC: manifests, Units: units, Environment: awsEnvironment(),
		})
	})
}

// Packages are those that the masters got at first.
func (s *Site) Packages() debs.Set { return s.o.Packages }

// controllerConfig is the installation's /etc/joinery/controller.yaml.
func controllerConfig(o Options) ([]byte, error) {
	c := v1alpha1.ControllerConfig{
		TypeMeta: v1alpha1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindControllerConfig},
		Spec:     controllerSpec(o),
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write controller configuration: %w", err)
	}
	if _, err := v1alpha1.DecodeControllerConfig(data); err != nil {
		return nil, fmt.Errorf("check controller configuration: %w", err)
	}
	return data, nil
}

func controllerSpec(o Options) v1alpha1.ControllerSpec {
	spec := v1alpha1.ControllerSpec{
		Cluster: o.Cluster, Endpoint: cluster.Endpoint(o.endpoint()),
		Bundle:   v1alpha1.BundleSettings{KMSKeyID: KeyAlias(o.Cluster)},
		Approver: v1alpha1.ApproverSettings{NodeRoles: []string{NodeRole}},
	}
	if o.Configure != nil {
		o.Configure(&spec)
	}
	return spec
}
