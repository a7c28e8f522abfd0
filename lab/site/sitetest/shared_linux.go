package sitetest

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

	"github.com/joinery/joinery/lab/kit"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/site"
)

// Shared is an installation that the first test that needs it makes, and that
// Main takes down. Its exported fields must not be changed after that.
type Shared struct {
	// Options of the installation, but for Kit, Programs, Packages, LogDir and Report.
	Options site.Options
	// Packages has the masters install this tree's packages, in place of the programs.
	Packages bool
	// Within is how long it may take to come up.
	Within time.Duration
	// Populate, if set, goes on from there.
	Populate func(*testing.T, *site.Site) error

	once sync.Once
	site *site.Site
	err  error
	dir  string // of Joinery's programs
}

// closeTime bounds how long an installation takes to go.
const closeTime = time.Minute

// Main runs the tests of a package, takes the installation down and proves that
// nothing of it stays. It returns the exit code.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if err := s.tearDown(); err != nil {
		fmt.Fprintln(os.Stderr, "teardown:", err)
		return 1
	}
	return code
}

func (s *Shared) tearDown() error {
	errs := []error{os.RemoveAll(s.dir)}
	if s.site != nil {
		// No test is left whose context could be used.
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		left, err := s.site.Close(ctx)
		errs = append(errs, err)
		if len(left) > 0 {
			errs = append(errs, fmt.Errorf("left behind: %s", strings.Join(left, ", ")))
		}
	}
	return errors.Join(errs...)
}

// errUnfinished stands until the making has ended, for the tests after one that
// was ended in the middle of it.
var errUnfinished = errors.New("the test that made the installation did not finish it")

// Open returns the installation. Where lab machines cannot run the test is
// skipped, or fails when CI=true; it fails when the installation could not be made.
func (s *Shared) Open(t *testing.T) *site.Site {
	t.Helper()
	k := labtest.Kit(t)
	s.once.Do(func() {
		s.err = errUnfinished
		begin := time.Now()
		s.err = s.build(t, k)
		t.Logf("installation: %.1f s", time.Since(begin).Seconds())
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.site
}

func (s *Shared) build(t *testing.T, k *kit.Kit) (err error) {
	ctx, cancel := context.WithTimeout(t.Context(), s.Within)
	defer cancel()
	if s.dir, err = os.MkdirTemp("", "joinery-"+s.Options.Cluster+"-"); err != nil {
		return err
	}
	o := s.Options
	o.Kit, o.LogDir, o.Report = k, os.Getenv("JOINERY_TEST_LOGS"), labtest.Report(t)
	programs := []string{"./cmd/joinery-agent"}
	if s.Packages {
		if o.Packages, err = k.Packages(ctx, filepath.Join(s.dir, "packages")); err != nil {
			return err
		}
	} else {
		programs = append(programs, "./cmd/joinery-controller")
	}
	if o.Programs, err = s.own(ctx, k, programs...); err != nil {
		return err
	}
	if s.site, err = site.Open(ctx, o); err != nil || s.Populate == nil {
		return err
	}
	return s.Populate(t, s.site)
}

// Own builds further main packages of this repository and returns where they are,
// by name. Open must have been called.
func (s *Shared) Own(t *testing.T, packages ...string) map[string]string {
	t.Helper()
	programs, err := s.own(t.Context(), labtest.Kit(t), packages...)
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

func (s *Shared) own(ctx context.Context, k *kit.Kit, packages ...string) (map[string]string, error) {
	return k.Own(ctx, filepath.Join(s.dir, filepath.Base(packages[0])), packages...)
}
