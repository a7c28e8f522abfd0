// Package binaries gets every program that the lab runs and keeps it in a cache
// outside the source tree. Kubernetes' own programs are downloaded from its
// release archive and verified. Where that cannot be had, and for all other
// programs, they are built from Go modules. A program is built again when its
// module's go.mod or go.sum, its flags or the Go version change, and at no other
// time.
package binaries

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/cache"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/progress"
)

// KubernetesVersion is the version that the lab's control plane and nodes run.
// lab/binaries/kubernetes/go.mod pins the code; this names it to kubeadm.
const KubernetesVersion = "v1.37.2"

// PreviousKubernetes is the patch release before it, which a cluster has that is to be
// upgraded. Built here, it is the code of KubernetesVersion under this version: the
// modules are pinned once, and another version of them would be compiled for half an hour.
// So kubeadm's way from one version to another is real, and a difference between the two
// is not.
const PreviousKubernetes = "v1.37.1"

// ErrNotBuilt says that a program is not in the cache yet.
var ErrNotBuilt = errors.New("not built yet")

// Options says where to build.
type Options struct {
	// Root is the root of this repository; see FindRoot.
	Root string
	// Cache is the cache's directory; see CacheDir.
	Cache string
	// Archive is the release archive's address; see Archive. When it is empty
	// everything is built, and nothing that was downloaded before is used.
	Archive string
	// Kubernetes is the version of its programs; KubernetesVersion when it is empty.
	Kubernetes string
	// Report is told of every program; nil is fine.
	Report progress.Func

	client *http.Client // for Archive; nil: one that waits no longer than waits
}

// Set is the finished programs. The zero value has none.
type Set struct {
	// Kubernetes is the version of its programs.
	Kubernetes string

	paths map[string]string // program name -> path
	keys  map[string]string // program name -> cache key
}

// Path returns where a program lies, "" when the set has no such program.
func (s Set) Path(program string) string { return s.paths[program] }

// Key returns a text that changes whenever one of the programs is built anew.
func (s Set) Key(programs ...string) string {
	var keys []string
	for _, p := range programs {
		keys = append(keys, p+"="+s.keys[p])
	}
	return strings.Join(keys, ",")
}

func (s *Set) add(c component, at place) {
	if s.paths == nil {
		s.paths, s.keys = map[string]string{}, map[string]string{}
	}
	for _, name := range c.names() {
		s.paths[name], s.keys[name] = filepath.Join(at.dir, name), at.key
	}
}

// CacheDir returns $JOINERY_CACHE, or "joinery" in the user's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("JOINERY_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory (set JOINERY_CACHE): %w", err)
	}
	return filepath.Join(dir, "joinery"), nil
}

// FindRoot returns the root of this repository, looking upwards from dir. The
// lab builds from the sources, so it runs inside a checkout only.
func FindRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find repository: %w", err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/joinery/joinery\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find repository: %s is not inside a checkout of github.com/joinery/joinery", dir)
		}
	}
}

// Build returns all cached programs, getting the missing ones first. Two
// builders on one cache wait for each other, module by module.
func Build(ctx context.Context, o Options) (Set, error) {
	return build(ctx, o, components(o.kubernetes()))
}

// Load returns what Build would, without building: a missing program is
// ErrNotBuilt.
func Load(ctx context.Context, o Options) (Set, error) {
	return load(ctx, o, components(o.kubernetes()))
}

func (o Options) kubernetes() string { return cmp.Or(o.Kubernetes, KubernetesVersion) }

// BuildPacker is Build for packer and its builder for EC2. They are apart: a
// quarter of an hour of compiling for those alone who bake through packer.
func BuildPacker(ctx context.Context, o Options) (Set, error) { return build(ctx, o, packer()) }

// LoadPacker is Load for what BuildPacker builds.
func LoadPacker(ctx context.Context, o Options) (Set, error) { return load(ctx, o, packer()) }

// BuildEtcdTools is Build for what takes snapshots of etcd and restores them.
func BuildEtcdTools(ctx context.Context, o Options) (Set, error) { return build(ctx, o, etcdTools()) }

// LoadEtcdTools is Load for what BuildEtcdTools builds.
func LoadEtcdTools(ctx context.Context, o Options) (Set, error) { return load(ctx, o, etcdTools()) }

// BuildCompanions is Build for metrics-server and the Vertical Pod Autoscaler, with the
// projects' manifests. They are apart for the same reason: five minutes for one test.
func BuildCompanions(ctx context.Context, o Options) (Set, error) { return build(ctx, o, companions()) }

// LoadCompanions is Load for what BuildCompanions builds.
func LoadCompanions(ctx context.Context, o Options) (Set, error) { return load(ctx, o, companions()) }

func build(ctx context.Context, o Options, all []component) (Set, error) {
	set := Set{Kubernetes: o.kubernetes()}
	for _, c := range all {
		at, err := c.provide(ctx, o)
		if err != nil {
			return Set{}, fmt.Errorf("build %s: %w", c.name, err)
		}
		set.add(c, at)
	}
	return set, nil
}

func load(ctx context.Context, o Options, all []component) (Set, error) {
	set := Set{Kubernetes: o.kubernetes()}
	for _, c := range all {
		at, err := c.find(ctx, o)
		if err != nil {
			return Set{}, fmt.Errorf("look up %s: %w", c.name, err)
		}
		set.add(c, at)
	}
	return set, nil
}

// Plugin builds packer's plugin of this repository into out and returns its path.
// Like Own, it always builds.
func Plugin(ctx context.Context, o Options, out string) (string, error) {
	const name = "packer-plugin-joinery"
	path := filepath.Join(out, name)
	c := component{name: name, module: "packer/" + name}
	err := o.Report.Step("build "+name, func() (bool, error) {
		return false, c.compile(ctx, o, program{name: name, pkg: "."}, path)
	})
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, nil
}

// Own builds main packages of this repository, such as "./cmd/joinery-agent",
// statically into out and returns program name -> path. They are always built,
// as Go's own cache makes that cheap and it alone knows what changed.
func Own(ctx context.Context, o Options, out string, packages ...string) (map[string]string, error) {
	paths := map[string]string{}
	for _, pkg := range packages {
		name := filepath.Base(pkg)
		paths[name] = filepath.Join(out, name)
		err := o.Report.Step("build "+name, func() (bool, error) {
			c := component{name: name, module: "."}
			return false, c.compile(ctx, o, program{name: name, pkg: pkg}, paths[name])
		})
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
	}
	return paths, nil
}

// provide gets a component's programs: out of the cache, else from the release
// archive, else by building them.
func (c component) provide(ctx context.Context, o Options) (place, error) {
	at, err := c.find(ctx, o)
	if err == nil {
		return at, o.Report.Step("build "+c.name, func() (bool, error) { return true, nil })
	}
	if !errors.Is(err, ErrNotBuilt) {
		return place{}, err
	}
	at, ok, err := c.download(ctx, o)
	if ok || err != nil {
		return at, err
	}
	return c.build(ctx, o)
}

// find returns where the cache has all programs of a component, ErrNotBuilt when
// it has not. What was built here comes first: it needs no archive's word.
func (c component) find(ctx context.Context, o Options) (place, error) {
	built, err := c.place(ctx, o)
	if err != nil {
		return place{}, err
	}
	if ok, err := built.use(ctx, c); ok || err != nil {
		return built, err
	}
	r, ok, err := c.released(o)
	if err != nil {
		return place{}, err
	}
	if !ok {
		return place{}, ErrNotBuilt
	}
	at := r.place(o)
	if ok, err := at.use(ctx, c); !ok || err != nil {
		return place{}, cmp.Or(err, ErrNotBuilt)
	}
	return at, nil
}

// build builds what is missing of a component.
func (c component) build(ctx context.Context, o Options) (place, error) {
	at, err := c.place(ctx, o)
	if err != nil {
		return place{}, err
	}
	unlock, err := cache.Use(ctx, at.dir)
	if err != nil {
		return place{}, err
	}
	defer unlock()
	for _, p := range c.programs {
		path := filepath.Join(at.dir, p.name)
		err := o.Report.Step("build "+p.name, func() (bool, error) {
			if _, err := os.Stat(path); err == nil {
				return true, nil
			}
			return false, c.compile(ctx, o, p, path)
		})
		if err != nil {
			return place{}, err
		}
	}
	for _, d := range c.documents {
		if err := c.copy(ctx, o, d, at); err != nil {
			return place{}, err
		}
	}
	return at, nil
}

// compile builds one program and puts it to path in one step, so that a killed
// build leaves no half of a program there.
func (c component) compile(ctx context.Context, o Options, p program, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make output directory: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(path), ".build-")
	if err != nil {
		return fmt.Errorf("make build directory: %w", err)
	}
	defer os.RemoveAll(work)
	made := filepath.Join(work, p.name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, c.flags()...), "-o", made, p.pkg)...)
	cmd.Dir = filepath.Join(o.Root, c.module)
	cmd.Env = c.env()
	if text, err := host.Run(cmd); err != nil {
		return fmt.Errorf("go build %s: %w: %s", p.pkg, err, text)
	}
	if err := os.Chmod(made, 0o755); err != nil {
		return fmt.Errorf("set mode of %s: %w", p.name, err)
	}
	return os.Rename(made, path)
}
