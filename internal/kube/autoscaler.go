package kube

import (
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// The other programs that buy nodes on AWS for pending pods.
const (
	ClusterAutoscaler = "Cluster Autoscaler"
	Karpenter         = "Karpenter"
)

// KarpenterPoolLabel is on every Node that Karpenter made, with its NodePool's name.
const KarpenterPoolLabel = "karpenter.sh/nodepool"

// clusterAutoscalerImage is the last part of the names of its images: by itself, as the
// project and most mirrors call it, or with an architecture.
var clusterAutoscalerImage = regexp.MustCompile(`^cluster-autoscaler(-(amd64|arm|arm64|ppc64le|s390x))?$`)

// shells run what their arguments say.
var shells = []string{"sh", "bash", "ash", "dash", "tini", "dumb-init"}

// Autoscaler returns which program that scales AWS instances a container runs, empty
// for none. A Cluster Autoscaler for another cloud is none.
func Autoscaler(c *corev1.Container) string {
	repository := imageRepository(c.Image)
	name, parent := path.Base(repository), path.Base(path.Dir(repository))
	said := words(c)
	switch {
	case clusterAutoscalerImage.MatchString(name), executes(said, "cluster-autoscaler"):
		if provider := flagOf(said, "cloud-provider"); provider != "" && provider != "aws" {
			return ""
		}
		return ClusterAutoscaler
	case parent == "karpenter" && name == "controller", name == "karpenter", name == "karpenter-controller", executes(said, "karpenter"):
		return Karpenter
	}
	return ""
}

// PodAutoscaler returns which program that scales AWS instances a pod runs, empty for
// none.
func PodAutoscaler(p *corev1.Pod) string {
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if program := Autoscaler(&list[i]); program != "" {
				return program
			}
		}
	}
	return ""
}

// imageRepository cuts tag and digest off an image's name. A colon before the last
// slash is a registry's port.
func imageRepository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// words are those of a container's command line; a shell's script is split at spaces.
func words(c *corev1.Container) []string {
	var out []string
	for _, part := range slices.Concat(c.Command, c.Args) {
		out = append(out, strings.Fields(part)...)
	}
	return out
}

// executes reports whether a command line starts the program: as its first word, or,
// where that is a shell, by a path or at the start of what it runs.
func executes(said []string, program string) bool {
	if len(said) == 0 {
		return false
	}
	if path.Base(said[0]) == program {
		return true
	}
	if !slices.Contains(shells, path.Base(said[0])) {
		return false
	}
	for i, word := range said[1:] {
		starts := slices.Contains([]string{"exec", "--", "-c", "-ec", "&&", "||"}, said[i]) || strings.HasSuffix(said[i], ";")
		if path.Base(word) == program && (starts || strings.Contains(word, "/")) {
			return true
		}
	}
	return false
}

// flagOf returns the last value of a flag, with one dash or two, empty if it is not there.
func flagOf(said []string, name string) (value string) {
	for i, word := range said {
		key, v, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if key != name || !strings.HasPrefix(word, "-") {
			continue
		}
		if !joined && i+1 < len(said) {
			v = said[i+1]
		}
		value = strings.Trim(v, `"'`)
	}
	return value
}
