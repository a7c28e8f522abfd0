// Package kit gathers all that a lab run needs from outside of it: host
// packages, programs, the operating system base and the container images. The
// lab command prepares a kit once; runs and tests load it.
package kit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/cache"
	"github.com/joinery/joinery/lab/checkout"
	"github.com/joinery/joinery/lab/debs"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/progress"
)

// Options says where the sources and the cache are. Empty fields mean the
// checkout around the working directory and binaries.CacheDir.
type Options struct {
	Root, Cache string
	// Kubernetes is its version; binaries.KubernetesVersion when it is empty.
	Kubernetes string
	Report     progress.Func
}

func (o Options) complete() (binaries.Options, error) {
	var err error
	if o.Root == "" {
		if o.Root, err = binaries.FindRoot("."); err != nil {
			return binaries.Options{}, err
		}
	}
	if o.Cache == "" {
		if o.Cache, err = binaries.CacheDir(); err != nil {
			return binaries.Options{}, err
		}
	}
	archive, err := binaries.Archive()
	if err != nil {
		return binaries.Options{}, err
	}
	return binaries.Options{Root: o.Root, Cache: o.Cache, Archive: archive, Kubernetes: o.Kubernetes, Report: o.Report}, nil
}

// Kit is a prepared set of things, all of them in the cache.
type Kit struct {
	// Programs are the foreign programs: Kubernetes, etcd, containerd, runc.
	Programs binaries.Set
	// Base is the operating system's directory.
	Base string
	// Pause and ControlPlane are archives with container images.
	Pause, ControlPlane string

	build binaries.Options
}

// Prepare installs, downloads and builds what is missing and returns the kit.
// The first time on a computer that is half an hour of compiling, unless
// Kubernetes' release archive can be reached.
func Prepare(ctx context.Context, o Options) (*Kit, error) {
	if err := host.Ensure(ctx, o.Report); err != nil {
		return nil, fmt.Errorf("prepare lab: %w", err)
	}
	build, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("prepare lab: %w", err)
	}
	// The base is mostly waiting for a mirror, the programs are all compiling.
	var set binaries.Set
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		set, err = binaries.Build(both, build)
		return err
	})
	group.Go(func() error {
		_, err := image.Base(both, build.Cache, build.Report)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("prepare lab: %w", err)
	}
	k, err := assemble(ctx, build, set)
	if err != nil {
		return nil, err
	}
	if _, err := k.Stock(ctx); err != nil {
		return nil, fmt.Errorf("prepare lab: %w", err)
	}
	return k, nil
}

// Prune removes from the cache what was not used for some days, and says so.
func Prune(o Options) error {
	build, err := o.complete()
	if err != nil {
		return fmt.Errorf("prune cache: %w", err)
	}
	removed, err := cache.Prune(build.Cache, time.Now().Add(-cache.Kept))
	if len(removed) > 0 {
		build.Report.Note(fmt.Sprintf("removed from the cache, not used for %d days: %s", int(cache.Kept.Hours())/24, strings.Join(removed, ", ")))
	}
	if err != nil {
		return fmt.Errorf("prune cache: %w", err)
	}
	return nil
}

// PreparePacker builds packer and its builder for EC2, which a kit has not.
func PreparePacker(ctx context.Context, o Options) error {
	build, err := o.complete()
	if err != nil {
		return fmt.Errorf("prepare packer: %w", err)
	}
	if _, err := binaries.BuildPacker(ctx, build); err != nil {
		return fmt.Errorf("prepare packer: %w", err)
	}
	return nil
}

// PrepareCompanions builds metrics-server and the Vertical Pod Autoscaler, which a kit
// has not.
func PrepareCompanions(ctx context.Context, o Options) error {
	build, err := o.complete()
	if err != nil {
		return fmt.Errorf("prepare companions: %w", err)
	}
	if _, err := binaries.BuildCompanions(ctx, build); err != nil {
		return fmt.Errorf("prepare companions: %w", err)
	}
	return nil
}

// LoadCompanions returns what an earlier PrepareCompanions built, or
// binaries.ErrNotBuilt.
func LoadCompanions(ctx context.Context, o Options) (binaries.Set, error) {
	build, err := o.complete()
	if err != nil {
		return binaries.Set{}, fmt.Errorf("load companions: %w", err)
	}
	set, err := binaries.LoadCompanions(ctx, build)
	if err != nil {
		return binaries.Set{}, fmt.Errorf("load companions: %w", err)
	}
	return set, nil
}

// LoadPacker returns what an earlier PreparePacker built, or binaries.ErrNotBuilt,
// and builds packer's plugin of this repository into dir.
func LoadPacker(ctx context.Context, o Options, dir string) (set binaries.Set, plugin string, err error) {
	build, err := o.complete()
	if err != nil {
		return binaries.Set{}, "", fmt.Errorf("load packer: %w", err)
	}
	if set, err = binaries.LoadPacker(ctx, build); err != nil {
		return binaries.Set{}, "", fmt.Errorf("load packer: %w", err)
	}
	if plugin, err = binaries.Plugin(ctx, build, dir); err != nil {
		return binaries.Set{}, "", fmt.Errorf("load packer: %w", err)
	}
	return set, plugin, nil
}

// Load returns the kit that an earlier Prepare made. Programs that are not
// built yet are binaries.ErrNotBuilt.
func Load(ctx context.Context, o Options) (*Kit, error) {
	build, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("load lab: %w", err)
	}
	set, err := binaries.Load(ctx, build)
	if err != nil {
		return nil, fmt.Errorf("load lab: %w", err)
	}
	return assemble(ctx, build, set)
}

func assemble(ctx context.Context, build binaries.Options, set binaries.Set) (*Kit, error) {
	k := &Kit{Programs: set, build: build}
	var err error
	if k.Base, err = image.Base(ctx, build.Cache, build.Report); err != nil { // cached by now, as a rule
		return nil, err
	}
	if k.Pause, err = image.PauseArchive(ctx, build.Cache, set, build.Report); err != nil {
		return nil, err
	}
	if k.ControlPlane, err = image.ControlPlaneArchive(ctx, build.Cache, set, build.Report); err != nil {
		return nil, err
	}
	return k, nil
}

// Own builds main packages of this repository into dir; see binaries.Own.
func (k *Kit) Own(ctx context.Context, dir string, packages ...string) (map[string]string, error) {
	return binaries.Own(ctx, k.build, dir, packages...)
}

// Packages makes Joinery's packages of this tree in dir.
func (k *Kit) Packages(ctx context.Context, dir string) (debs.Set, error) {
	return debs.OfTree(ctx, k.build, dir)
}

// packagesSince is a file that came with the means to make packages.
const packagesSince = "release/go.mod"

// EarlierPackages returns Joinery's packages of an earlier release. Until there is one to
// go back to, that is the first commit with packages. It is looked up, since rebased
// history has another.
func (k *Kit) EarlierPackages(ctx context.Context) (debs.Set, error) {
	commit, err := checkout.FirstWith(ctx, k.build.Root, packagesSince)
	if err != nil {
		return nil, fmt.Errorf("make earlier packages: %w", err)
	}
	return debs.OfCommit(ctx, k.build, commit)
}

// Stock returns the image that the distribution publishes; see image.Stock.
func (k *Kit) Stock(ctx context.Context) (image.Image, error) {
	return image.Stock(ctx, k.build.Cache, k.Base, k.build.Report) // cached by now, as a rule
}

// Root is the checkout that the kit belongs to.
func (k *Kit) Root() string { return k.build.Root }

// Cache is the directory that the kit's things are in.
func (k *Kit) Cache() string { return k.build.Cache }
