package images

import (
	"fmt"
	"regexp"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/quote"
	"github.com/joinery/joinery/internal/version"
)

const (
	// kubeletLag is how many minor versions a kubelet may be older than the API
	// server (Kubernetes' version skew policy). It may never be newer.
	kubeletLag = 3
	// agentLag is how many minor versions an agent may be older than the
	// controller. It may never be newer.
	agentLag = 1
)

// Reason is the stable name of a kind of problem.
type Reason string

// The reasons.
const (
	// Gone is an image that EC2 does not show: groups cannot launch from it.
	Gone Reason = "ImageGone"
	// Untagged is an image without a version's tag: nothing is known about it.
	Untagged Reason = "ImageUntagged"
	// InvalidTag is an image whose tag is no version: nothing is known either.
	InvalidTag Reason = "ImageTagInvalid"
	// KubeletTooNew and KubeletTooOld are outside of Kubernetes' skew policy.
	KubeletTooNew Reason = "KubeletTooNew"
	KubeletTooOld Reason = "KubeletTooOld"
	// AgentTooNew and AgentTooOld are outside of Joinery's policy (docs/versions.md).
	AgentTooNew Reason = "AgentTooNew"
	AgentTooOld Reason = "AgentTooOld"
)

// Versions are what images are held to.
type Versions struct {
	// APIServer is the version of the API server that runs, such as v1.37.2.
	APIServer string
	// Joinery is the controller's version. Agents are not judged by one that is no
	// release: "(devel)", a pre-release, a build of a commit. Such a version sorts before
	// the release that its agents may well come from.
	Joinery string
}

// Problem is what is wrong with one image in one respect.
type Problem struct {
	Reason Reason
	Image  Image
	// Keeps reports whether nodes of the image cannot be relied on to join.
	Keeps bool
	// Found is what was seen, Why why it matters, Fix the command that helps or, where
	// none does, what to do instead.
	Found, Why, Fix string
}

// Judge returns the problems of an image; none when it is current. An error is an
// API server whose version cannot be read.
func Judge(i Image, at Versions) ([]Problem, error) {
	server, err := utilversion.ParseSemantic(at.APIServer)
	if err != nil {
		return nil, fmt.Errorf("read version of the API server: %w", err)
	}
	if i.Gone {
		return []Problem{{Reason: Gone, Image: i, Keeps: true, Found: i.Name() + " is not shown by EC2",
			Why: "it was deregistered, disabled or is shared no more: nothing can be launched from it", Fix: bakeKubernetes(server)}}, nil
	}
	var all []Problem
	kubelet, p := i.version(v1alpha1.KubernetesVersionTag, server, bakeKubernetes(server))
	if kubelet != nil {
		p = judgeKubelet(i, kubelet, server)
	}
	all = append(all, p...)
	controller, err := utilversion.ParseSemantic(at.Joinery)
	if err != nil || controller.PreRelease() != "" || controller.BuildMetadata() != "" {
		return all, nil
	}
	agent, p := i.version(v1alpha1.JoineryVersionTag, controller, bakeJoinery(controller))
	if agent != nil {
		p = judgeAgent(i, agent, controller)
	}
	return append(all, p...), nil
}

// version returns the version in a tag, or the problem of a tag that has none, with the
// fix of it.
func (i Image) version(tag string, want *utilversion.Version, fix string) (*utilversion.Version, []Problem) {
	text, ok := i.Tags[tag]
	if !ok {
		return nil, []Problem{{Reason: Untagged, Image: i, Found: fmt.Sprintf("%s has no tag %s", i.Name(), tag),
			Why: "which version it holds is not known; tags of an image that another account shares are not shown", Fix: fix}}
	}
	v, err := utilversion.ParseSemantic(text)
	if err != nil {
		return nil, []Problem{{Reason: InvalidTag, Image: i, Found: fmt.Sprintf("%s has the tag %s=%s", i.Name(), tag, quote.Text(text)),
			Why: "that is no version: expected one such as " + release(want.Major(), want.Minor(), want.Patch()), Fix: fix}}
	}
	return v, nil
}

func judgeKubelet(i Image, kubelet, server *utilversion.Version) []Problem {
	p := Problem{Image: i, Keeps: true, Found: fmt.Sprintf("%s has kubelet %s, the API server is %s", i.Name(), kubelet, server), Fix: bakeKubernetes(server)}
	switch lag := minors(kubelet, server); {
	case lag < 0:
		p.Reason, p.Why = KubeletTooNew, "Kubernetes does not support a kubelet that is newer than the API server"
	case lag > kubeletLag:
		p.Reason, p.Why = KubeletTooOld, fmt.Sprintf("Kubernetes does not support a kubelet that is more than %d minor versions older than the API server", kubeletLag)
	default:
		return nil
	}
	return []Problem{p}
}

func judgeAgent(i Image, agent, controller *utilversion.Version) []Problem {
	p := Problem{Image: i, Found: fmt.Sprintf("%s has agent %s, this is Joinery %s", i.Name(), agent, controller), Fix: bakeJoinery(controller)}
	switch {
	case controller.LessThan(agent):
		p.Reason, p.Why = AgentTooNew, "an agent may write what an older controller does not understand: upgrade controllers first"
	case minors(agent, controller) > agentLag:
		p.Reason, p.Why = AgentTooOld, fmt.Sprintf("an agent more than %d minor version older than the controller is not supported", agentLag)
	default:
		return nil
	}
	return []Problem{p}
}

// far is the distance between major versions: more than any lag.
const far = 1000

// minors is how many minor versions v is older than than; negative when it is newer.
func minors(v, than *utilversion.Version) int {
	return far*(int(than.Major())-int(v.Major())) + int(than.Minor()) - int(v.Minor())
}

// early begins the pre-releases of Kubernetes. What a vendor appends, such as -eks-1,
// makes none.
var early = regexp.MustCompile(`^(alpha|beta|rc)\b`)

// bakeKubernetes is what makes an image for an API server: a command, or what must be done
// first where this release bakes none. An image holds a release of a supported minor
// version, and a kubelet is not newer than the API server. So for a pre-release it is
// of the minor version before, and for an API server that is newer than all of them, of
// the newest.
func bakeKubernetes(server *utilversion.Version) string {
	minor, want := int(server.Minor()), server.String()
	if early.MatchString(server.PreRelease()) {
		minor--
	}
	kubelet := min(minor, version.NewestMinor)
	switch {
	case server.Major() < 1 || server.Major() == 1 && kubelet < version.OldestMinor:
		return fmt.Sprintf("upgrade the API server to a release from 1.%d to 1.%d: this release of Joinery bakes no image that %s takes", version.OldestMinor, version.NewestMinor, want)
	case server.Major() > 1 || int(server.Minor())-kubelet > kubeletLag:
		return fmt.Sprintf("upgrade Joinery: this release bakes images of Kubernetes 1.%d to 1.%d, which are too old for %s", version.OldestMinor, version.NewestMinor, want)
	case kubelet < int(server.Minor()):
		return bake("kubernetes_version", release(1, uint(kubelet), 0)) +
			fmt.Sprintf(" (or with a later patch of 1.%d: this release of Joinery bakes none of %s)", kubelet, want)
	}
	return bake("kubernetes_version", release(1, uint(kubelet), server.Patch()))
}

// bakeJoinery is the command that makes an image for a controller of a release.
func bakeJoinery(controller *utilversion.Version) string {
	return bake("joinery_version", release(controller.Major(), controller.Minor(), controller.Patch()))
}

// release writes a version as the image's template takes it.
func release(major, minor, patch uint) string { return fmt.Sprintf("%d.%d.%d", major, minor, patch) }

// bake is the command that makes an image of a version; the file has the operator's other
// variables. The group's launch template must name the image then (docs/image.md).
func bake(variable, version string) string {
	return fmt.Sprintf("packer build -var-file=node.pkrvars.hcl -var %s=%s packer/ebs", variable, version)
}

// Name says which image it is, for people.
func (i Image) Name() string {
	return fmt.Sprintf("image %s of %s", i.ID, strings.Join(i.Groups, ", "))
}
