package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/binaries"
	"github.com/joinery/joinery/lab/cache"
	"github.com/joinery/joinery/lab/host"
	"github.com/joinery/joinery/lab/progress"
)

const (
	// Repository is the made-up registry of all the lab's container images.
	// Nothing answers there: images are imported and pods must not pull.
	Repository = "lab.local"
	// Pause is the sandbox image, also good as a workload that does nothing.
	Pause = Repository + "/pause:1"
	// ControlPlanePrograms is where the AMI has the programs of Kubernetes' own
	// control plane. Static pods mount it.
	ControlPlanePrograms = "/opt/control-plane"
)

// PauseArchive returns the file with the pause image, made once and cached.
func PauseArchive(ctx context.Context, cache string, set binaries.Set, report progress.Func) (string, error) {
	path := filepath.Join(cache, "image", "pause-"+short(set.Key("pause", "kubeadm"))+".tar")
	return cached(ctx, path, "image pause", report, func() (Container, error) {
		tags, err := controlPlaneTags(ctx, set)
		// Under kubeadm's name too: its check before an upgrade runs a pod of it anywhere.
		tags = slices.DeleteFunc(tags, func(tag string) bool { return !strings.Contains(tag, "/pause:") })
		return Container{
			Tags: append(tags, Pause), Entrypoint: []string{"/pause"},
			Files: map[string]File{"/pause": {Source: set.Path("pause"), Mode: 0o755}},
		}, err
	})
}

// ControlPlaneArchive returns the file with the control plane's image, made
// once and cached. It is one image under all the names that kubeadm's static
// pods use, as their manifests call each program by its bare name. Only etcd is
// inside: the others come from ControlPlanePrograms, because importing 300 MB
// into each master's containerd takes longer than all the rest of its start.
func ControlPlaneArchive(ctx context.Context, cache string, set binaries.Set, report progress.Func) (string, error) {
	path := filepath.Join(cache, "image", "control-plane-"+short(set.Key("etcd", "pause", "kubeadm"))+".tar")
	return cached(ctx, path, "image control plane", report, func() (Container, error) { return controlPlane(ctx, set) })
}

func controlPlane(ctx context.Context, set binaries.Set) (Container, error) {
	tags, err := controlPlaneTags(ctx, set)
	return Container{
		Tags: tags, Entrypoint: []string{"/pause"}, Env: []string{"PATH=/usr/local/bin:" + ControlPlanePrograms},
		Files: map[string]File{
			"/pause":              {Source: set.Path("pause"), Mode: 0o755},
			"/usr/local/bin/etcd": {Source: set.Path("etcd"), Mode: 0o755},
			"/tmp":                {Mode: os.ModeDir | 0o755},
			"/etc":                {Mode: os.ModeDir | 0o755},
			ControlPlanePrograms:  {Mode: os.ModeDir | 0o755},
		},
	}, err
}

// UpgradeArchive returns the file with the control plane's image for masters that have
// the programs of another version in ControlPlanePrograms: it has its own, which come
// first.
func UpgradeArchive(ctx context.Context, cache string, set binaries.Set, report progress.Func) (string, error) {
	path := filepath.Join(cache, "image", "upgrade-"+short(set.Key("etcd", "pause", "kubeadm", "kube-apiserver", "kube-controller-manager", "kube-scheduler"))+".tar")
	return cached(ctx, path, "image control plane with its programs", report, func() (Container, error) {
		c, err := controlPlane(ctx, set)
		for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
			c.Files["/usr/local/bin/"+p] = File{Source: set.Path(p), Mode: 0o755}
		}
		return c, err
	})
}

// controlPlaneTags asks kubeadm which images it will want. It wants an etcd of
// its own choice; the lab's serves under that name too.
func controlPlaneTags(ctx context.Context, set binaries.Set) ([]string, error) {
	cmd := exec.CommandContext(ctx, set.Path("kubeadm"), "config", "images", "list",
		"--image-repository", Repository, "--kubernetes-version", set.Kubernetes)
	host.Detach(cmd)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("list images of kubeadm: %w: %s", err, tail(stderr.Bytes()))
	}
	var tags []string
	for _, tag := range strings.Fields(stdout.String()) {
		// The lab runs neither: iptables rules stand for kube-proxy, /etc/hosts for DNS.
		if !strings.Contains(tag, "kube-proxy") && !strings.Contains(tag, "coredns") {
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("list images of kubeadm: none of the control plane in %q", stdout.String())
	}
	return tags, nil
}

func cached(ctx context.Context, path, step string, report progress.Func, describe func() (Container, error)) (string, error) {
	err := report.Step(step, func() (bool, error) {
		unlock, err := cache.Use(ctx, path)
		if err != nil {
			return false, err
		}
		defer unlock()
		if _, err := os.Stat(path); err == nil {
			return true, nil
		}
		c, err := describe()
		if err != nil {
			return false, err
		}
		return false, WriteArchive(path, c)
	})
	if err != nil {
		return "", fmt.Errorf("make %s: %w", step, err)
	}
	return path, nil
}

// layout changes whenever this package puts the same programs into an image in
// another way.
const layout = "2"

func short(key string) string {
	sum := sha256.Sum256([]byte(layout + " " + key))
	return hex.EncodeToString(sum[:])[:16]
}
