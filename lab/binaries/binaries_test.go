package binaries

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/progress"
)

func put(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestKey changes one thing at a time: each must give another key, and nothing
// else may.
func TestKey(t *testing.T) {
	root := t.TempDir()
	put(t, root, "m/go.mod", "module m\n")
	put(t, root, "m/go.sum", "")
	first := component{name: "c", module: "m", tags: "a", ldflags: "-s", inputs: []string{"go.mod", "go.sum"}, programs: []program{{"p", "m/p"}}}
	facts := []string{"go1.26.8", "linux"}
	key := func(c component, facts []string) string {
		t.Helper()
		k, err := c.key(root, facts)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	once := key(first, facts)
	if again := key(first, facts); again != once {
		t.Error("the key is not stable")
	}
	seen := map[string]string{once: "first"}
	differ := func(what, k string) {
		t.Helper()
		if was, ok := seen[k]; ok {
			t.Errorf("%s has the key of %s", what, was)
		}
		seen[k] = what
	}
	differ("another Go", key(first, []string{"go1.26.9", "linux"}))
	for what, change := range map[string]func(*component){
		"other tags":    func(c *component) { c.tags = "b" },
		"other ldflags": func(c *component) { c.ldflags = "-w" },
		"cgo":           func(c *component) { c.cgo = true },
		"other program": func(c *component) { c.programs = []program{{"p", "m/q"}} },
		"a document":    func(c *component) { c.documents = []document{{"m", "d.yaml"}} },
		"another one":   func(c *component) { c.documents = []document{{"m", "e.yaml"}} },
	} {
		c := first
		change(&c)
		differ(what, key(c, facts))
	}
	put(t, root, "m/go.sum", "x\n")
	differ("another go.sum", key(first, facts))
	if _, err := (component{module: "none", inputs: []string{"go.mod"}}).key(root, facts); err == nil {
		t.Error("a missing module has a key")
	}
}

func TestKubernetesFlags(t *testing.T) {
	const want = "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=37 -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2"
	if got := kubernetesFlags("v1.37.2"); got != want {
		t.Errorf("got %q", got)
	}
}

// TestVersions ties the versions that are stamped in to those that the modules
// pin.
func TestVersions(t *testing.T) {
	root, err := FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{
		"kubernetes": "k8s.io/kubernetes " + KubernetesVersion + "\n",
		"containerd": "containerd/v2 v2.4.2\n",
		"etcd":       "go.etcd.io/etcd/server/v3 v3.6.16\n",
		"etcdtools":  "go.etcd.io/etcd/etcdutl/v3 v3.6.16\n",
		"runc":       "runc v1.5.2\n",
	} {
		text, err := os.ReadFile(filepath.Join(root, "lab/binaries", module, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s does not pin %s", module, want)
		}
	}
	if _, err := FindRoot(t.TempDir()); err == nil {
		t.Error("a root is found where none is")
	}
}

func TestBuildAndLoad(t *testing.T) {
	root, cache := t.TempDir(), t.TempDir()
	put(t, root, "m/go.mod", "module example.com/m\n\ngo 1.26\n")
	put(t, root, "m/main.go", "package main\n\nfunc main() {}\n")
	put(t, root, "m/docs/d.yaml", "kind: D\n")
	c := component{name: "c", module: "m", inputs: []string{"go.mod"}, programs: []program{{"p", "."}}, documents: []document{{"example.com/m", "docs/d.yaml"}}}
	var cached []bool
	o := Options{Root: root, Cache: cache, Report: func(e progress.Event) {
		if e.State == progress.Done {
			cached = append(cached, e.Cached)
		}
	}}
	var set Set
	for range 2 {
		at, err := c.provide(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		set.add(c, at)
	}
	if info, err := os.Stat(set.Path("p")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("program: %v, %v", info, err)
	}
	if text, err := os.ReadFile(set.Path("d.yaml")); err != nil || string(text) != "kind: D\n" {
		t.Errorf("document: %q, %v", text, err)
	}
	if len(cached) != 2 || cached[0] || !cached[1] {
		t.Errorf("from cache: %v, want the second time only", cached)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(set.Path("p")), ".*")); err != nil || len(left) > 0 {
		t.Errorf("build directories stay: %v (%v)", left, err)
	}
	if err := os.Remove(set.Path("d.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.find(t.Context(), o); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("without its document: %v", err)
	}
	for what, d := range map[string]document{"file": {"example.com/m", "docs/none.yaml"}, "module": {"example.com/none", "docs/d.yaml"}} {
		c := c
		c.documents = []document{d}
		if _, err := c.build(t.Context(), o); err == nil || !strings.Contains(err.Error(), d.module) {
			t.Errorf("an unknown %s gives %v", what, err)
		}
	}
	put(t, root, "m/main.go", "package main\n\nfunc main() { broken }\n")
	err := c.compile(t.Context(), o, c.programs[0], filepath.Join(cache, "q"))
	if err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a compile error is told as %v", err)
	}
	if _, err := os.Stat(filepath.Join(cache, "q")); err == nil {
		t.Error("a failed build leaves a program")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.compile(ctx, o, c.programs[0], filepath.Join(cache, "q")); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled build gives %v", err)
	}
}

// Both versions of Kubernetes are in one cache, and have all else in common.
func TestPreviousKubernetes(t *testing.T) {
	root, err := FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	facts := []string{"go1.26.8", "linux"}
	previous := components(PreviousKubernetes)
	for n, c := range components(Options{}.kubernetes()) {
		one, err := c.key(root, facts)
		if err != nil {
			t.Fatal(err)
		}
		other, err := previous[n].key(root, facts)
		if err != nil {
			t.Fatal(err)
		}
		if differ := one != other; differ != (c.name == "kubernetes") {
			t.Errorf("%s: keys %s and %s", c.name, one, other)
		}
	}
}

func TestLoadMissing(t *testing.T) {
	root, err := FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	for name, load := range map[string]func(context.Context, Options) (Set, error){"all": Load, "packer": LoadPacker, "etcd's tools": LoadEtcdTools, "companions": LoadCompanions} {
		if _, err := load(t.Context(), Options{Root: root, Cache: t.TempDir()}); !errors.Is(err, ErrNotBuilt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCacheDir(t *testing.T) {
	t.Setenv("JOINERY_CACHE", "/somewhere")
	if dir, err := CacheDir(); err != nil || dir != "/somewhere" {
		t.Errorf("got %s, %v", dir, err)
	}
}
