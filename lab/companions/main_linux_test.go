package companions_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
)

const (
	clusterName = "companions"
	group       = "workers"
	// minWorkers and maxWorkers bound the group. Its type has 2 CPUs.
	minWorkers, maxWorkers, workerType = 1, 4, "t3.medium"
	// loadImage is the container image of the command load; workerImage is the machine
	// image that has it.
	loadImage, workerImage = image.Repository + "/load:1", "ami-0123456789abcdef0"
)

// installation is one control-plane node with waiting times that a test can wait for.
var installation = sitetest.Shared{
	Within: 8 * time.Minute, // the programs are built in that time too
	Options: site.Options{Cluster: clusterName, Configure: func(s *v1alpha1.ControllerSpec) {
		s.Token.Schedule = "@every 1h"
		s.Autoscaler.ScaleDown.IdleDelay = metav1.Duration{Duration: 10 * time.Second}
	}, Services: map[string]string{metricsService + ":443": master + ":" + metricsPort, webhookService + ":443": master + ":" + webhookPort}},
	Populate: func(t *testing.T, s *site.Site) error { return (&scene{s, t}).populate() },
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// scene is the cluster as one test sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// populate makes the group and installs the companions.
func (s *scene) populate() error {
	if err := s.makeGroup(); err != nil {
		return err
	}
	return s.install()
}

// makeGroup makes the group at its minimum, of instances that have the load's image.
func (s *scene) makeGroup() error {
	if err := s.makeImage(); err != nil {
		return err
	}
	data, err := site.NodeUserData(clusterName, nil)
	if err != nil {
		return err
	}
	s.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
		ImageID: workerImage, InstanceType: workerType, RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data),
		HTTPTokens: "required", HopLimit: 1,
	})
	return s.World.PutGroup(awssim.GroupSpec{Name: group, Min: minWorkers, Max: maxWorkers, Desired: minWorkers, LaunchTemplate: group, Tags: []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
	}})
}

// makeImage puts the load's container image into a machine image, since there is no
// registry: it is imported at each boot, after the sandbox image.
func (s *scene) makeImage() error {
	programs, err := labtest.Kit(s.t).Own(s.t.Context(), filepath.Join(s.Host.Dir(), "programs"), "./lab/companions/load")
	if err != nil {
		return err
	}
	archive := filepath.Join(s.Host.Dir(), "load.tar")
	err = image.WriteArchive(archive, image.Container{
		Tags: []string{loadImage}, Entrypoint: []string{"/load"}, Files: map[string]image.File{"/load": {Source: programs["load"], Mode: 0o755}},
	})
	if err != nil {
		return err
	}
	const drop = "[Service]\nExecStart=/usr/local/bin/ctr -n k8s.io images import --local /opt/load.tar\n"
	img, err := s.Hypervisor.Image.With(filepath.Join(s.Host.Dir(), "workers"), map[string]image.File{
		"/opt/load.tar": {Source: archive}, "/etc/systemd/system/lab-images.service.d/10-load.conf": {Data: []byte(drop)},
	})
	if err != nil {
		return err
	}
	s.Hypervisor.SetImage(workerImage, img)
	return nil
}

// await looks until look says that all is well, and fails the test with what was
// seen last after limit.
func (s *scene) await(what string, limit time.Duration, look func(context.Context) (seen string, ok bool)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	begin, last := time.Now(), ""
	for {
		seen, ok := look(ctx)
		if seen != last {
			s.t.Logf("%5.1f s: %s: %s", time.Since(begin).Seconds(), what, seen)
			last = seen
		}
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: not within %s: %s", what, limit, seen)
		case <-tick.C:
		}
	}
}
