package site

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/userdata"
)

// serveAWS bakes the machines' image and opens the simulated AWS to them, for as
// long as serving lasts.
func (s *Site) serveAWS(ctx, serving context.Context) error {
	ami, err := bakery.AMI(ctx, s.Host, s.o.Kit, bakery.Options{
		Dir: filepath.Join(s.Host.Dir(), "ami"), Agent: s.o.Programs["joinery-agent"], Region: Region, Files: image.DropIn(agentUnit, awsEnvironment()), Report: s.o.Report,
	})
	if err != nil {
		return err
	}
	s.hypervisor = &cluster.Hypervisor{Host: s.Host, World: s.World, Image: ami, Customize: customizeMaster}
	s.World.Hypervisor = s.hypervisor
	key, err := s.World.CreateKey(KeyAlias(s.o.Cluster))
	if err != nil {
		return err
	}
	if err := s.holdRoles(key); err != nil {
		return err
	}
	listener, err := s.Host.VPC().Listen(ctx, awsPort)
	if err != nil {
		return err
	}
	s.serve(func() error { return s.World.Serve(serving, listener) })
	return nil
}

// serve runs a server that Close waits for.
func (s *Site) serve(run func() error) {
	done := make(chan error, 1)
	s.served = append(s.served, done)
	go func() { done <- run() }()
}

// awsEnvironment is all that makes production programs talk to the simulated
// AWS: the SDK's own variable.
func awsEnvironment() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL": fmt.Sprintf("http://%s:%d", vpc.Gateway, awsPort)}
}

// NodeUserData is the user data of a cluster's nodes, with labels.
func NodeUserData(cluster string, labels map[string]string) ([]byte, error) {
	c, err := v1alpha1.NodeConfigFor(cluster)
	if err != nil {
		return nil, err
	}
	c.Spec.Labels = labels
	if machine.CgroupV1() {
		c.Spec.Kubeadm.IgnorePreflightErrors = []string{"SystemVerification"}
	}
	return userdata.Render(c)
}

// AddImage makes a machine image with the files of an agent's package over the common
// one's, and has the instances boot from it that are launched from now on with this
// image id.
func (s *Site) AddImage(ctx context.Context, id, agentPackage string) error {
	layer := filepath.Join(s.Host.Dir(), "package-"+id)
	if err := image.Unpack(ctx, agentPackage, layer); err != nil {
		return err
	}
	// An image baked from an archive has its units where they win over a package's.
	units, err := os.ReadDir(filepath.Join(layer, packageUnits))
	if err != nil {
		return fmt.Errorf("read units of %s: %w", filepath.Base(agentPackage), err)
	}
	links := map[string]image.File{}
	for _, u := range units {
		links[filepath.Join("/etc/systemd/system", u.Name())] = image.File{Link: filepath.Join(packageUnits, u.Name())}
	}
	common := image.Image{Layers: append([]string{layer}, s.hypervisor.Image.Layers...)}
	img, err := common.With(filepath.Join(s.Host.Dir(), "units-"+id), links)
	if err != nil {
		return err
	}
	s.hypervisor.SetImage(id, img)
	return nil
}

// packageUnits is where Debian's packages have their units.
const packageUnits = "/usr/lib/systemd/system"

// stopTimeout is systemd's setting of how long a process may take to end.
const stopTimeout = "[Manager]\nDefaultTimeoutStopSec=10s\n"

// customizeMaster keeps the agent of the common image from running on the
// masters, which have no NodeConfig and would wait for one for ever. And it cuts
// short how long a master takes to reboot: an API server whose etcd has ended
// before it does not end by itself, and systemd would wait for it for 90 s.
func customizeMaster(i awssim.Instance, spec *machine.Spec) {
	if i.Role == ControllerRole {
		spec.Files = map[string]image.File{
			"/etc/systemd/system/" + agentUnit:       {Link: "/dev/null"},
			"/etc/systemd/system.conf.d/50-lab.conf": {Data: []byte(stopTimeout)},
		}
	}
}
