package attack_test

import (
	"context"
	"encoding/base64"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
)

const clusterName = "attacked"

// installation is the cluster of all attacks: one master with the controller's
// defaults, so with proofs required, and one node that has joined.
var installation = sitetest.Shared{
	Within: 8 * time.Minute,
	Options: site.Options{Cluster: clusterName, Configure: func(s *v1alpha1.ControllerSpec) {
		s.Token.Schedule = "@every 1h"
		s.Token.Overlap = metav1.Duration{Duration: time.Minute}
		s.Autoscaler.ScaleDown.IdleDelay = metav1.Duration{Duration: 5 * time.Second}
	}},
	Populate: func(t *testing.T, s *site.Site) error { return (&scene{s, t}).populate() },
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// scene is the cluster as one attack sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// open returns the cluster with a node that has joined by itself.
func open(t *testing.T) *scene {
	t.Helper()
	return &scene{installation.Open(t), t}
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
		// Its least size keeps each from being scaled down.
		if err := s.putGroup(group, group, 1, 1, 3); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 90*time.Second)
	defer cancel()
	_, err = s.Cluster.WaitNode(ctx, s.member(workers).PrivateDNSName)
	return err
}

// putGroup makes a managed group of those sizes, or changes it.
func (s *scene) putGroup(name, template string, least, desired, most int) error {
	return s.World.PutGroup(awssim.GroupSpec{Name: name, Min: least, Max: most, Desired: desired, LaunchTemplate: template, Tags: []awssim.Tag{
		{Key: "k8s.io/cluster-autoscaler/enabled", Value: "true"}, {Key: "k8s.io/cluster-autoscaler/" + clusterName, Value: "owned"},
		{Key: v1alpha1.ClusterTag, Value: clusterName, Propagate: true},
	}})
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
