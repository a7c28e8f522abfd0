package guide_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/joinery/joinery/docs/guide"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/release/pack"
	"github.com/joinery/joinery/release/program"
)

const (
	root = "../.."
	// cluster and masterRole are as in the guide's first block.
	cluster, masterRole = "prod", "prod-control-plane"
	adminIP             = "10.99.0.200"
	kubectl             = "/usr/local/bin/kubectl"
	version             = "v0.3.0"
)

// scene is where the guide is followed: three masters made with kubeadm, a computer to
// administer them from, a machine to make the nodes' image of, and AWS.
type scene struct {
	*site.Site
	t          *testing.T
	kit        *kit.Kit
	packages   map[string]image.File // in root's home directory
	agent      string                // this tree's program
	repository map[string]image.File // apt's settings where a machine has a repository
	admin      *machine.Machine
	image      *machine.Machine // what the next image is made of; nil before the first
	// before is what files lists on a machine without Joinery's packages: its image has
	// settings of packer/bake's.
	before string
}

func open(t *testing.T, k *kit.Kit) *scene {
	t.Helper()
	s := &scene{t: t, kit: k}
	s.packages = s.pack()
	var err error
	s.Site, err = site.Open(t.Context(), site.Options{
		Kit: s.kit, Cluster: cluster, Masters: 3, Bare: true, MasterRole: masterRole,
		LogDir: os.Getenv("JOINERY_TEST_LOGS"), Report: labtest.Report(t),
	})
	if s.Site != nil {
		t.Cleanup(s.close)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.furnishMasters()
	s.admin = s.launchAdmin()
	return s
}

func (s *scene) close() {
	ctx, cancel := context.WithTimeout(labtest.Lasting(s.t), time.Minute)
	defer cancel()
	left, err := s.Close(ctx)
	if err != nil || len(left) > 0 {
		s.t.Errorf("teardown: %v; left behind: %q", err, left)
	}
}

// must ends the test on an error.
func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// pack compiles this tree, makes its packages, and puts those of an earlier release beside
// them: paths on a machine -> file.
func (s *scene) pack() map[string]image.File {
	s.t.Helper()
	names := []string{program.Agent, program.Controller, program.Operator}
	programs, err := s.kit.Own(s.t.Context(), s.t.TempDir(), "./cmd/joinery-agent", "./cmd/joinery-controller", "./cmd/joinery")
	s.must(err)
	s.agent = programs[program.Agent]
	files := map[string]image.File{}
	for _, name := range names {
		p := program.Program{Name: name, Platform: program.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}, File: programs[name], Version: version, Time: time.Unix(1_800_000_000, 0)}
		path, err := pack.Write(root, s.t.TempDir(), pack.Deb, p)
		s.must(err)
		files["/root/"+filepath.Base(path)] = image.File{Source: path}
	}
	earlier, err := s.kit.EarlierPackages(s.t.Context())
	s.must(err)
	for _, path := range earlier {
		files["/root/previous/"+filepath.Base(path)] = image.File{Source: path}
	}
	return files
}

// put gives a machine files, and what a session there finds in its environment; nil
// leaves that as it is.
func (s *scene) put(m *machine.Machine, env map[string]string, files ...map[string]image.File) {
	s.t.Helper()
	if env != nil {
		files = append(files, environment(env))
	}
	for _, f := range files {
		s.must(image.WriteFiles(m.Path("/"), f))
	}
}

// furnishMasters gives the masters kubectl and the packages, and has the controller find
// the simulated AWS, where AWS itself would need no setting.
func (s *scene) furnishMasters() {
	s.t.Helper()
	tools := map[string]image.File{kubectl: {Source: s.kit.Programs.Path("kubectl"), Mode: 0o755}}
	for _, m := range s.Cluster.Masters() {
		s.put(m.Machine, site.Environment(), tools, s.packages, image.DropIn(site.ControllerUnit, site.Environment()))
	}
}

// awsWrapper is needed because Debian 12's CLI is older than AWS_ENDPOINT_URL.
const awsWrapper = "#!/bin/sh\nexec /usr/bin/aws --endpoint-url \"$AWS_ENDPOINT_URL\" \"$@\"\n"

// launchAdmin boots a computer that is no instance, with kubectl, the administrator's
// kubeconfig, Debian's awscli and an administrator's credentials.
func (s *scene) launchAdmin() *machine.Machine {
	s.t.Helper()
	cache, err := binaries.CacheDir()
	s.must(err)
	layer, err := image.Layer(s.t.Context(), cache, s.kit.Base, labtest.Report(s.t), "awscli")
	s.must(err)
	files, err := image.Machine(site.Region)
	s.must(err)
	config, err := os.ReadFile(s.Cluster.Master().Path("/etc/kubernetes/admin.conf"))
	s.must(err)
	maps.Copy(files, s.packages)
	files[kubectl] = image.File{Source: s.kit.Programs.Path("kubectl"), Mode: 0o755}
	files["/root/.kube/config"] = image.File{Data: config, Mode: 0o600}
	files["/usr/local/bin/aws"] = image.File{Data: []byte(awsWrapper), Mode: 0o755}
	disk, err := image.Image{Layers: []string{layer, s.kit.Base}}.With(filepath.Join(s.Host.Dir(), "admin"), files)
	s.must(err)
	m, err := s.Host.Launch(s.t.Context(), machine.Spec{ID: "i-admin", IP: netip.MustParseAddr(adminIP), CPUs: 2, MemoryMiB: 1024, Image: disk})
	s.must(err)
	s.must(m.WaitUnits(s.t.Context(), "lab-machine.service"))
	c := s.World.Credentials("administrator")
	env := map[string]string{"AWS_ACCESS_KEY_ID": c.AccessKeyID, "AWS_SECRET_ACCESS_KEY": c.SecretAccessKey, "AWS_SESSION_TOKEN": c.SessionToken}
	maps.Copy(env, site.Environment())
	s.put(m, env)
	return m
}

// ignoring has kubeadm accept control groups of version 1, which some computers that the
// lab runs on have and no supported image.
const ignoring = "#!/bin/sh\nexec /usr/bin/kubeadm \"$@\" --ignore-preflight-errors=SystemVerification\n"

// imageMachine is an instance with container runtime, kubeadm and kubelet, from which an
// image of nodes is made. Once it was stopped there is another.
func (s *scene) imageMachine() (*machine.Machine, error) {
	if s.image != nil && s.image.State() == machine.Running {
		return s.image, nil
	}
	i, err := s.World.AddInstance(awssim.InstanceSpec{Tags: map[string]string{"Name": "node-image"}})
	if err != nil {
		return nil, err
	}
	m, err := s.Machine(s.t.Context(), i.ID)
	if err != nil {
		return nil, err
	}
	if err := m.WaitUnits(s.t.Context(), "lab-machine.service", "containerd.service", "lab-images.service"); err != nil {
		return nil, err
	}
	if s.before, err = at(m).Run(s.t.Context(), files); err != nil {
		return nil, err
	}
	s.put(m, nil, s.packages, s.repository, image.DropIn("joinery-agent.service", site.Environment()))
	if machine.CgroupV1() {
		s.put(m, nil, map[string]image.File{"/usr/local/sbin/kubeadm": {Data: []byte(ignoring), Mode: 0o755}})
	}
	s.image = m
	return m, nil
}

// shells are the places of the guide.
func (s *scene) shells() map[string][]guide.Shell {
	all := map[string][]guide.Shell{"admin": {at(s.admin)}, "image": {session{s.imageMachine}}, "node": {session{s.node}}}
	for n, m := range s.Cluster.Masters() {
		all["control-plane"] = append(all["control-plane"], at(m.Machine))
		all[fmt.Sprintf("control-plane-%d", n+1)] = []guide.Shell{at(m.Machine)}
	}
	return all
}

// node is the machine of the group's one instance.
func (s *scene) node() (*machine.Machine, error) {
	for _, i := range s.World.Instances() {
		if i.Group != "" && i.State == awssim.Running {
			return s.Machine(s.t.Context(), i.ID)
		}
	}
	return nil, errors.New("no group has an instance that runs")
}
