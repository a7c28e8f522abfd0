package attack_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
)

const clusterName = "attacked"

// installation is the cluster of all attacks: opened by the first, one master with
// the controller's defaults, so with proofs required, and one node that has joined.
var installation struct {
	site *site.Site
	err  error
	dir  string // of Joinery's programs
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := tearDown(); err != nil {
		fmt.Fprintln(os.Stderr, "teardown:", err)
		code = 1
	}
	os.Exit(code)
}

func tearDown() error {
	errs := []error{os.RemoveAll(installation.dir)}
	if installation.site != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		left, err := installation.site.Close(ctx)
		errs = append(errs, err)
		if len(left) > 0 {
			errs = append(errs, fmt.Errorf("left behind: %s", strings.Join(left, ", ")))
		}
	}
	return errors.Join(errs...)
}

// scene is the cluster as one attack sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// open returns the cluster with a node that has joined by itself.
func open(t *testing.T) *scene {
	t.Helper()
	if installation.site == nil && installation.err == nil {
		installation.site, installation.err = build(t)
		if installation.err == nil {
			installation.err = (&scene{installation.site, t}).populate()
		}
	}
	if installation.err != nil {
		t.Fatal(installation.err)
	}
	return &scene{installation.site, t}
}

func build(t *testing.T) (*site.Site, error) {
	k := labtest.Kit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var err error
	if installation.dir, err = os.MkdirTemp("", "joinery-attack-"); err != nil {
		return nil, err
	}
	programs, err := k.Own(ctx, filepath.Join(installation.dir, "bin"), "./cmd/joinery-agent", "./cmd/joinery-controller")
	if err != nil {
		return nil, err
	}
	return site.Open(ctx, site.Options{
		Kit: k, Programs: programs, Cluster: clusterName, LogDir: os.Getenv("JOINERY_TEST_LOGS"), Report: labtest.Report(t),
		Configure: func(s *v1alpha1.ControllerSpec) {
			s.Token.Schedule = "@every 1h"
			s.Token.Overlap = metav1.Duration{Duration: time.Minute}
			s.Autoscaler.ScaleDown.Disabled = true
		},
	})
}

// The groups: of workers that join by themselves, and of victims, which are
// launched and managed like them and boot for ever.
const (
	workers = "workers"
	victims = "victims"
)

// populate launches one of each.
func (s *scene) populate() error {
	joining, err := site.NodeUserData(clusterName, nil)
	if err != nil {
		return err
	}
	// Its agent waits for another cluster's bundle, which its role may not read.
	waiting, err := site.NodeUserData("elsewhere", nil)
	if err != nil {
		return err
	}
	for group, data := range map[string][]byte{workers: joining, victims: waiting} {
		s.World.PutLaunchTemplate(group, awssim.LaunchTemplateData{
			ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", RoleName: site.NodeRole, UserData: base64.StdEncoding.EncodeToString(data),
			HTTPTokens: "required", HopLimit: 1,
		})
		spec := awssim.GroupSpec{Name: group, Max: 3, Desired: 1, LaunchTemplate: group, Tags: []awssim.Tag{
			{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
			{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
		}}
		if err := s.World.PutGroup(spec); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	_, err = s.Cluster.WaitNode(ctx, s.member(workers).PrivateDNSName)
	return err
}

// member is the group's newest instance.
func (s *scene) member(group string) awssim.Instance {
	s.t.Helper()
	g, err := s.World.Group(group)
	if err != nil || len(g.Members) == 0 {
		s.t.Fatalf("group %s: %+v, %v", group, g.Members, err)
	}
	i, err := s.World.Instance(g.Members[len(g.Members)-1].InstanceID)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}
