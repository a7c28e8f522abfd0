package masters_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
)

const (
	clusterName = "masters"
	// openTime and closeTime bound how long the cluster takes to come and to go.
	openTime, closeTime = 4 * time.Minute, time.Minute
)

// installation is the cluster of all tests; opened by the first that needs it.
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

// tearDown removes everything and proves that nothing stays.
func tearDown() error {
	errs := []error{os.RemoveAll(installation.dir)}
	if installation.site != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		left, err := installation.site.Close(ctx)
		errs = append(errs, err)
		if len(left) > 0 {
			errs = append(errs, fmt.Errorf("left behind: %s", strings.Join(left, ", ")))
		}
	}
	return errors.Join(errs...)
}

// open returns the cluster, in a state that every test may start from: all
// masters are well, a controller runs on each, and one of them leads.
func open(t *testing.T) *trio {
	t.Helper()
	if installation.site == nil && installation.err == nil {
		begin := time.Now()
		installation.site, installation.err = build(t)
		t.Logf("cluster of three masters: %.1f s", time.Since(begin).Seconds())
	}
	if installation.err != nil {
		t.Fatal(installation.err)
	}
	c := &trio{Site: installation.site, t: t}
	c.awaitCalm()
	return c
}

func build(t *testing.T) (*site.Site, error) {
	k := labtest.Kit(t)
	ctx, cancel := context.WithTimeout(t.Context(), openTime)
	defer cancel()
	var err error
	if installation.dir, err = os.MkdirTemp("", "joinery-masters-"); err != nil {
		return nil, err
	}
	programs, err := k.Own(ctx, filepath.Join(installation.dir, "bin"), "./cmd/joinery-agent", "./cmd/joinery-controller")
	if err != nil {
		return nil, err
	}
	return site.Open(ctx, site.Options{
		Kit: k, Programs: programs, Cluster: clusterName, Masters: 3, LogDir: os.Getenv("JOINERY_TEST_LOGS"), Report: labtest.Report(t),
		Configure: func(s *v1alpha1.ControllerSpec) {
			// No rotation but those that a test asks for.
			s.Token.Schedule = "@every 1h"
			s.Token.Overlap = metav1.Duration{Duration: time.Minute}
		},
	})
}
