package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
)

const (
	clusterName = "lifecycle"
	// legacyParameter is where old user data reads its token.
	legacyParameter = "jointoken"
	// joinTimeout is the shortest that there is; warmUp lets an agent come as far
	// as its gate.
	joinTimeout, warmUp = time.Minute, 12 * time.Second
)

// installation is the cluster of all tests: opened by the first, one master with
// the controller's defaults but for waiting times.
var installation struct {
	sync.Once
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

// scene is the cluster as one test sees it.
type scene struct {
	*site.Site
	t *testing.T
}

// open returns the cluster, with all groups and no node yet. The tests run beside
// each other, each with a group of its own: they wait most of the time.
func open(t *testing.T) *scene {
	t.Helper()
	labtest.Require(t)
	t.Parallel()
	installation.Do(func() {
		if installation.site, installation.err = build(t); installation.err == nil {
			installation.err = (&scene{installation.site, t}).makeGroups()
		}
	})
	if installation.err != nil {
		t.Fatal(installation.err)
	}
	if installation.site == nil {
		t.Skip("there is no cluster")
	}
	return &scene{installation.site, t}
}

func build(t *testing.T) (*site.Site, error) {
	k := labtest.Kit(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var err error
	if installation.dir, err = os.MkdirTemp("", "joinery-lifecycle-"); err != nil {
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
			s.Lifecycle.JoinTimeout = metav1.Duration{Duration: joinTimeout}
			s.Lifecycle.WarmUp = metav1.Duration{Duration: warmUp}
			s.Bundle.LegacyTokenParameter = legacyParameter
			s.Autoscaler.ScaleDown.Disabled = true
		},
	})
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
