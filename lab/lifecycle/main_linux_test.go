package lifecycle_test

import (
	"context"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
	"github.com/joinery/joinery/lab/site/sitetest"
)

const (
	clusterName = "lifecycle"
	// legacyParameter is where old user data reads its token.
	legacyParameter = "jointoken"
	// joinTimeout is the shortest that there is; warmUp lets an agent come as far
	// as its gate.
	joinTimeout, warmUp = time.Minute, 12 * time.Second
)

// installation is the cluster of all tests: one master with the controller's
// defaults but for waiting times, with all groups and no node.
var installation = sitetest.Shared{
	Within: 8 * time.Minute,
	Options: site.Options{Cluster: clusterName, Configure: func(s *v1alpha1.ControllerSpec) {
		s.Token.Schedule = "@every 1h"
		s.Lifecycle.JoinTimeout = metav1.Duration{Duration: joinTimeout}
		s.Lifecycle.WarmUp = metav1.Duration{Duration: warmUp}
		s.Bundle.LegacyTokenParameter = legacyParameter
		s.Autoscaler.ScaleDown.Disabled = true
	}},
	Populate: func(t *testing.T, s *site.Site) error { return (&scene{s, t}).makeGroups() },
}

func TestMain(m *testing.M) { os.Exit(installation.Main(m)) }

// scene is the cluster as one test sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// open returns the cluster. The tests run beside each other, each with a group of
// its own: they wait most of the time.
func open(t *testing.T) *scene {
	t.Helper()
	labtest.Require(t)
	t.Parallel()
	return &scene{installation.Open(t), t}
}

// await looks until look says that all is well, and fails the test with what was
// seen last after limit. It returns what was seen on the way, each once in a row.
func (s *scene) await(what string, limit time.Duration, look func(context.Context) (seen string, ok bool)) (all []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begin := time.Now()
	for {
		seen, ok := look(ctx)
		if len(all) == 0 || all[len(all)-1] != seen {
			all = append(all, seen)
			s.t.Logf("%5.1f s: %s: %s", time.Since(begin).Seconds(), what, seen)
		}
		if ok {
			return all
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s: not within %s: %s", what, limit, seen)
		case <-tick.C:
		}
	}
}
