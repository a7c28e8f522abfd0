package site

import (
	"context"
	"fmt"
	"maps"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/cluster"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/vpc"
	"github.com/joinery/joinery/systemd"
	"github.com/joinery/joinery/userdata"
)

// serveAWS bakes the machines' image and opens the simulated AWS to them, for as
// long as serving lasts.
func (s *Site) serveAWS(ctx, serving context.Context) error {
	if err := s.prepareAWS(); err != nil {
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
func (s *Site) prepareAWS() error {
	var files map[string]image.File
	if !s.o.Bare {
		var err error
		if files, err = agentFiles(s.o.Programs["joinery-agent"]); err != nil {
			return err
		}
	}
	ami, err := s.o.Kit.AMI(s.Host.Dir(), Region, files)
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
	maps.Copy(files, image.Enable("multi-user.target", agentUnit))
	maps.Copy(files, image.DropIn(agentUnit, Environment()))
	return files, nil
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
