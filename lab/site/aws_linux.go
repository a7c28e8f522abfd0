package site

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bakery"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/packer/bake"
	"github.com/joinery/joinery/systemd"
	"github.com/joinery/joinery/userdata"
)

// serveAWS bakes the machines' image and opens the simulated AWS to them, for as
// long as serving lasts.
func (s *Site) serveAWS(ctx, serving context.Context) error {
	if err := s.prepareAWS(ctx); err != nil {
		return err
	}
	listener, err := s.Host.VPC().Listen(ctx, awsPort)
	if err != nil {
		return err
	}
	s.serve(func() error { return s.World.Serve(serving, listener) })
	return nil
}

// prepareAWS makes what is in the account before the first instance: the image that
// instances boot from, and unless the site is bare key and policies.
func (s *Site) prepareAWS(ctx context.Context) error {
	ami, err := s.nodeImage(ctx)
	if err != nil {
		return err
	}
	s.Hypervisor = &cluster.Hypervisor{Host: s.Host, World: s.World, Image: ami, Customize: s.customizeMaster}
	s.World.Hypervisor = s.Hypervisor
	if s.o.Bare {
		s.World.CreateRole(s.o.MasterRole)
		return nil
	}
	key, err := s.World.CreateKey(KeyAlias(s.o.Cluster))
	if err != nil {
		return err
	}
	return s.holdRoles(key)
}

// nodeImage returns what instances boot from: the node image, or for a bare site the
// same without the agent.
func (s *Site) nodeImage(ctx context.Context) (image.Image, error) {
	o := bakery.Options{Dir: filepath.Join(s.Host.Dir(), "ami"), Agent: s.o.Programs["joinery-agent"], Region: Region, Report: s.o.Report}
	if !s.o.Bare {
		o.Files = image.DropIn(agentUnit, Environment())
		return bakery.AMI(ctx, s.Host, s.o.Kit, o)
	}
	programs, err := s.o.Kit.Own(ctx, filepath.Join(s.Host.Dir(), "programs"), "./cmd/joinery-agent")
	if err != nil {
		return image.Image{}, err
	}
	o.Agent = programs["joinery-agent"]
	ami, err := bakery.AMI(ctx, s.Host, s.o.Kit, o)
	if err != nil {
		return image.Image{}, err
	}
	hidden := []string{bake.AgentPath, filepath.Join("/etc/systemd/system/multi-user.target.wants", agentUnit)}
	for _, unit := range systemd.AgentUnits() {
		hidden = append(hidden, filepath.Join("/etc/systemd/system", unit))
	}
	return ami.Without(filepath.Join(s.Host.Dir(), "without"), hidden...)
}

// serve runs a server that Close waits for.
func (s *Site) serve(run func() error) {
	done := make(chan error, 1)
	s.served = append(s.served, done)
	go func() { done <- run() }()
}

// Environment is all that makes production programs talk to the simulated
// AWS: the SDK's own variable.
func Environment() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL": fmt.Sprintf("http://%s:%d", vpc.Gateway, awsPort)}
}

// NodeUserData is the user data of a cluster's nodes, with labels and taints.
func NodeUserData(cluster string, labels map[string]string, taints ...corev1.Taint) ([]byte, error) {
	c, err := v1alpha1.NodeConfigFor(cluster)
	if err != nil {
		return nil, err
	}
	c.Spec.Labels, c.Spec.Taints = labels, taints
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
	// An image baked from an archive has program and units where they win over a package's.
	units, err := os.ReadDir(filepath.Join(layer, packageUnits))
	if err != nil {
		return fmt.Errorf("read units of %s: %w", filepath.Base(agentPackage), err)
	}
	links := map[string]image.File{"/usr/local/bin/joinery-agent": {Link: "/usr/bin/joinery-agent"}}
	for _, u := range units {
		links[filepath.Join("/etc/systemd/system", u.Name())] = image.File{Link: filepath.Join(packageUnits, u.Name())}
	}
	common := image.Image{Layers: append([]string{layer}, s.Hypervisor.Image.Layers...)}
	img, err := common.With(filepath.Join(s.Host.Dir(), "units-"+id), links)
	if err != nil {
		return err
	}
	s.Hypervisor.SetImage(id, img)
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
func (s *Site) customizeMaster(i awssim.Instance, spec *machine.Spec) {
	if i.Role != s.o.MasterRole {
		return
	}
	spec.Files = map[string]image.File{"/etc/systemd/system.conf.d/50-lab.conf": {Data: []byte(stopTimeout)}}
	if !s.o.Bare {
		spec.Files["/etc/systemd/system/"+agentUnit] = image.File{Link: "/dev/null"}
	}
}
