package binaries

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// program is one main package.
type program struct{ name, pkg string }

// document is a file of a module that the component's own requires, such as manifests.
// It is kept beside the programs under its name.
type document struct{ module, path string }

func (d document) name() string { return filepath.Base(d.path) }

// component is a group of programs built from one module with one set of flags.
type component struct {
	name string
	// module is the module's directory below the repository's root.
	module string
	// release is the version that a release archive has programs of; "" when
	// none is known.
	release string
	// unpinned says that the module's pinned sums are of another release.
	unpinned bool
	tags     string
	ldflags  string
	cgo      bool
	inputs   []string // files of module that decide what is built
	programs []program
	// documents come with the programs; a released component has none.
	documents []document
}

// names returns what a place of the component has.
func (c component) names() []string {
	var out []string
	for _, p := range c.programs {
		out = append(out, p.name)
	}
	for _, d := range c.documents {
		out = append(out, d.name())
	}
	return out
}

func components(kubernetes string) []component {
	module := []string{"go.mod", "go.sum"}
	return []component{
		{
			name: "kubernetes", module: "lab/binaries/kubernetes", inputs: module, ldflags: kubernetesFlags(kubernetes), release: kubernetes, unpinned: kubernetes != KubernetesVersion,
			programs: named("k8s.io/kubernetes/cmd/", "kubeadm", "kubelet", "kube-scheduler", "kube-apiserver", "kube-controller-manager", "kubectl"),
		},
		{
			name: "etcd", module: "lab/binaries/etcd", inputs: module, ldflags: "-s -w",
			programs: []program{{name: "etcd", pkg: "go.etcd.io/etcd/server/v3"}},
		},
		{
			name: "containerd", module: "lab/binaries/containerd", inputs: module,
			// Snapshotters that need C libraries, and tracing, serve nothing here.
			tags:     "no_btrfs no_zfs no_devmapper no_tracing",
			ldflags:  "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2",
			programs: named("github.com/containerd/containerd/v2/cmd/", "containerd", "containerd-shim-runc-v2", "ctr"),
		},
		{
			// containerd hands runc a seccomp profile, which it refuses unless it
			// was built with libseccomp, hence with cgo.
			name: "runc", module: "lab/binaries/runc", inputs: module, cgo: true,
			tags: "netgo osusergo seccomp", ldflags: "-s -w -X main.version=1.5.2",
			programs: []program{{name: "runc", pkg: "github.com/opencontainers/runc"}},
		},
		{
			name: "pause", module: ".", inputs: []string{"lab/image/pause/main.go"}, ldflags: "-s -w",
			programs: []program{{name: "pause", pkg: "./lab/image/pause"}},
		},
	}
}

// packer is what a cluster does not need. One of packer's archivers is a C library; its
// plugin is built in the same way, as they have many packages in common.
func packer() []component {
	module := []string{"go.mod", "go.sum"}
	return []component{
		{name: "packer", module: "lab/binaries/packer", inputs: module, cgo: true, ldflags: "-s -w", programs: named("github.com/hashicorp/", "packer")},
		{name: "packer-plugin-amazon", module: "lab/binaries/packeramazon", inputs: module, cgo: true, ldflags: "-s -w", programs: named("github.com/hashicorp/", "packer-plugin-amazon")},
	}
}

// etcdTools are apart, as a cluster runs without them.
func etcdTools() []component {
	return []component{{
		name: "etcdtools", module: "lab/binaries/etcdtools", inputs: []string{"go.mod", "go.sum"}, ldflags: "-s -w",
		programs: []program{{name: "etcdctl", pkg: "go.etcd.io/etcd/etcdctl/v3"}, {name: "etcdutl", pkg: "go.etcd.io/etcd/etcdutl/v3"}},
	}}
}

// companions are what scales a cluster's pods beside us. The manifests are the projects'
// own: rights, Services and the resources that VPA is told by.
func companions() []component {
	const metrics, vpa = "sigs.k8s.io/metrics-server", "k8s.io/autoscaler/vertical-pod-autoscaler"
	c := component{
		name: "companions", module: "lab/binaries/companions", inputs: []string{"go.mod", "go.sum"}, ldflags: "-s -w",
		programs: append(named(metrics+"/cmd/", "metrics-server"), named(vpa+"/pkg/", "recommender", "updater", "admission-controller")...),
	}
	for _, name := range []string{"rbac", "deployment", "service", "apiservice"} {
		c.documents = append(c.documents, document{metrics, "manifests/base/" + name + ".yaml"})
	}
	for _, name := range []string{"vpa-v1-crd-gen", "vpa-rbac", "recommender-deployment", "updater-deployment", "admission-controller-deployment", "admission-controller-service"} {
		c.documents = append(c.documents, document{vpa, "deploy/" + name + ".yaml"})
	}
	return []component{c}
}

// kubernetesFlags stamps the version as Kubernetes' own build does. Without it
// kubeadm takes itself for v0.0.0 and refuses the control plane's version.
func kubernetesFlags(version string) string {
	const at = " -X k8s.io/component-base/version."
	minor := strings.Split(version, ".")[1]
	return "-s -w" + at + "gitVersion=" + version + at + "gitMajor=1" + at + "gitMinor=" + minor +
		" -X k8s.io/client-go/pkg/version.gitVersion=" + version
}

func named(prefix string, names ...string) []program {
	var out []program
	for _, n := range names {
		out = append(out, program{name: n, pkg: prefix + n})
	}
	return out
}

func (c component) flags() []string {
	flags := []string{"-trimpath"}
	if c.tags != "" {
		flags = append(flags, "-tags", c.tags)
	}
	if c.ldflags != "" {
		flags = append(flags, "-ldflags", c.ldflags)
	}
	return flags
}

func (c component) env() []string {
	cgo := "CGO_ENABLED=0"
	if c.cgo {
		cgo = "CGO_ENABLED=1"
	}
	// What the caller's environment says about other modules must not leak in.
	return append(os.Environ(), cgo, "GOFLAGS=", "GOWORK=off")
}

// place returns where the component's programs lie in the cache once they are
// built.
func (c component) place(ctx context.Context, o Options) (place, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Dir = filepath.Join(o.Root, c.module) // a module may ask for a newer toolchain
	version, err := cmd.Output()
	if err != nil {
		return place{}, fmt.Errorf("ask for Go version: %w", err)
	}
	facts := []string{strings.TrimSpace(string(version)), runtime.GOOS, runtime.GOARCH}
	if c.cgo { // linked to this machine's C library
		release, err := os.ReadFile("/etc/os-release")
		if err != nil {
			return place{}, fmt.Errorf("read release of this machine: %w", err)
		}
		facts = append(facts, string(release))
	}
	key, err := c.key(o.Root, facts)
	if err != nil {
		return place{}, err
	}
	return place{dir: filepath.Join(o.Cache, "bin", c.name+"-"+key), key: key}, nil
}

// key hashes everything that decides what is built: the module's input files,
// the flags, and facts about the toolchain and the machine.
func (c component) key(root string, facts []string) (string, error) {
	h := sha256.New()
	for _, f := range facts {
		fmt.Fprintf(h, "%q\n", f)
	}
	fmt.Fprintf(h, "%q %v\n", c.flags(), c.cgo)
	for _, p := range c.programs {
		fmt.Fprintf(h, "%q %q\n", p.name, p.pkg)
	}
	for _, d := range c.documents {
		fmt.Fprintf(h, "%q %q\n", d.module, d.path)
	}
	for _, name := range c.inputs {
		text, err := os.ReadFile(filepath.Join(root, c.module, name))
		if err != nil {
			return "", fmt.Errorf("hash inputs of %s: %w", c.name, err)
		}
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(text))
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
