package images_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/packer/bake"
)

var running = images.Versions{APIServer: "v1.36.4", Joinery: "v0.3.1"}

// tagged is an image with these versions of kubelet and agent.
func tagged(kubelet, agent string) images.Image {
	return images.Image{ID: "ami-1", Groups: []string{"a", "b"}, Tags: map[string]string{v1alpha1.KubernetesVersionTag: kubelet, v1alpha1.JoineryVersionTag: agent}}
}

func without(i images.Image, tag string) images.Image {
	delete(i.Tags, tag)
	return i
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		image images.Image
		want  []images.Reason
		keeps bool
		found string
		fix   string
	}{
		"current":                    {tagged("1.36.4", "0.3.1"), nil, false, "", ""},
		"current, with a v":          {tagged("v1.36.4", "v0.3.1"), nil, false, "", ""},
		"newer patch":                {tagged("1.36.9", "0.3.1"), nil, false, "", ""},
		"as old as may be":           {tagged("1.33.0", "0.2.0"), nil, false, "", ""},
		"kubelet a minor too new":    {tagged("1.37.0", "0.3.1"), []images.Reason{images.KubeletTooNew}, true, "image ami-1 of a, b has kubelet 1.37.0, the API server is 1.36.4", "packer build -var-file=node.pkrvars.hcl -var kubernetes_version=1.36.4 packer/ebs"},
		"kubelet a minor too old":    {tagged("1.32.11", "0.3.1"), []images.Reason{images.KubeletTooOld}, true, "has kubelet 1.32.11", "packer build -var-file=node.pkrvars.hcl -var kubernetes_version=1.36.4 packer/ebs"},
		"kubelet of another major":   {tagged("2.0.0", "0.3.1"), []images.Reason{images.KubeletTooNew}, true, "has kubelet 2.0.0", "1.36.4"},
		"agent a minor too old":      {tagged("1.36.4", "0.1.9"), []images.Reason{images.AgentTooOld}, false, "has agent 0.1.9, this is Joinery 0.3.1", "packer build -var-file=node.pkrvars.hcl -var joinery_version=0.3.1 packer/ebs"},
		"agent newer by a patch":     {tagged("1.36.4", "0.3.2"), []images.Reason{images.AgentTooNew}, false, "has agent 0.3.2", "joinery_version=0.3.1"},
		"agent of the next major":    {tagged("1.36.4", "1.0.0"), []images.Reason{images.AgentTooNew}, false, "has agent 1.0.0", ""},
		"agent before its release":   {tagged("1.36.4", "0.3.1-rc.1"), nil, false, "", ""},
		"both too old":               {tagged("1.30.0", "0.1.0"), []images.Reason{images.KubeletTooOld, images.AgentTooOld}, true, "", ""},
		"no kubelet's tag":           {without(tagged("", "0.3.1"), v1alpha1.KubernetesVersionTag), []images.Reason{images.Untagged}, false, "image ami-1 of a, b has no tag joinery:kubernetes-version", "packer build -var-file=node.pkrvars.hcl -var kubernetes_version=1.36.4"},
		"no agent's tag":             {without(tagged("1.36.4", ""), v1alpha1.JoineryVersionTag), []images.Reason{images.Untagged}, false, "has no tag joinery:version", "joinery_version=0.3.1"},
		"no tags":                    {images.Image{ID: "ami-1"}, []images.Reason{images.Untagged, images.Untagged}, false, "", ""},
		"empty tag":                  {tagged("", "0.3.1"), []images.Reason{images.InvalidTag}, false, `has the tag joinery:kubernetes-version=""`, "1.36.4"},
		"minor only":                 {tagged("1.36", "0.3.1"), []images.Reason{images.InvalidTag}, false, `joinery:kubernetes-version="1.36"`, "1.36.4"},
		"agent's tag is a word":      {tagged("1.36.4", "latest"), []images.Reason{images.InvalidTag}, false, `joinery:version="latest"`, "0.3.1"},
		"gone, whatever tags it had": {images.Image{ID: "ami-1", Groups: []string{"a"}, Gone: true}, []images.Reason{images.Gone}, true, "image ami-1 of a is not shown by EC2", "packer build"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := images.Judge(c.image, running)
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("got %+v, %v, want %v", got, err, c.want)
			}
			for n, p := range got {
				if p.Reason != c.want[n] || p.Why == "" || p.Image.ID != "ami-1" {
					t.Errorf("got %+v, want %s", p, c.want[n])
				}
			}
			if len(got) > 0 && (got[0].Keeps != c.keeps || !strings.Contains(got[0].Found, c.found) || !strings.Contains(got[0].Fix, c.fix)) {
				t.Errorf("got %+v, want %q, %q", got[0], c.found, c.fix)
			}
		})
	}
}

// Agents are judged by a release only. A build of a commit sorts before the release that
// its agents may be of.
func TestJudgeByBuilds(t *testing.T) {
	const older, newer = "v0.0.0-20261101000000-aaaaaaaaaaaa", "v0.0.0-20261130000000-bbbbbbbbbbbb"
	for _, c := range []struct {
		agent, joinery string
		want           int
	}{
		{older, newer, 0}, {newer, older, 0}, {"0.3.1", newer, 0}, {"0.3.1", "v0.3.1-0.20261130000000-bbbbbbbbbbbb", 0}, {"0.3.1", "v0.3.1-rc.1", 0},
		{"9.0.0", "v0.3.1+dirty", 0}, {"9.0.0", newer + "+dirty", 0}, {"9.0.0", "(devel)", 0}, {"latest", "(devel)", 0}, {"latest", newer, 0},
		{newer, "v0.3.1", 1}, {"9.0.0", "v0.3.1", 1}, {"0.3.1", "v0.3.1", 0},
	} {
		got, err := images.Judge(tagged("1.36.4", c.agent), images.Versions{APIServer: "v1.36.4-eks-1", Joinery: c.joinery})
		if err != nil || len(got) != c.want {
			t.Errorf("agent %s beside %s: %+v, %v", c.agent, c.joinery, got, err)
		}
	}
	if _, err := images.Judge(tagged("1.36.4", "0.3.1"), images.Versions{APIServer: "?"}); err == nil {
		t.Error("an API server without a version judges images")
	}
}

// baked is the version that a fix says to bake; empty when it says to do something else.
func baked(t *testing.T, fix string) string {
	t.Helper()
	if !strings.Contains(fix, "packer build") {
		if !strings.HasPrefix(fix, "upgrade ") {
			t.Errorf("a fix that is nothing to do: %q", fix)
		}
		return ""
	}
	m := regexp.MustCompile(`^packer build -var-file=node\.pkrvars\.hcl -var kubernetes_version=(\S+) packer/ebs`).FindStringSubmatch(fix)
	if m == nil {
		t.Fatalf("no command: %q", fix)
	}
	return m[1]
}

// bakes reports whether the bake takes a version of Kubernetes.
func bakes(version string) bool {
	return !slices.ContainsFunc(bake.Options{KubernetesVersion: version}.Problems(), func(p bake.Problem) bool { return p.Field == "kubernetes_version" })
}

// badImages are some with whose kubelet something is wrong, whatever the API server is.
var badImages = []images.Image{tagged("1.10.0", "0.3.1"), tagged("3.0.0", "0.3.1"), tagged("", "0.3.1"), {ID: "ami-1"}, {ID: "ami-1", Gone: true}}

// What a fix says, by the API server.
func TestFixes(t *testing.T) {
	const server, joinery = "upgrade the API server", "upgrade Joinery"
	for at, want := range map[string]string{
		"v1.36.4": "1.36.4", "v1.36.2-eks-1": "1.36.2", "v1.35.1-gke.100": "1.35.1", "v1.34.3+k3s1": "1.34.3", "v1.36.0-eks-a5ec690": "1.36.0",
		"v1.37.0-alpha.3": "1.36.0", "v1.37.0-beta.0": "1.36.0", "v1.37.0-rc.1": "1.36.0", "v1.37.2-rc.0+dirty": "1.36.0",
		"v1.31.0": "1.31.0", "v1.37.9": "1.37.9", "v1.32.0-rc.0": "1.31.0", "v1.38.0-alpha.1": "1.37.0",
		"v1.38.1": "1.37.0", "v1.40.7": "1.37.0", "v1.40.0-rc.1": "1.37.0",
		"v1.30.14": server, "v1.31.0-rc.1": server, "v1.5.0": server, "v1.0.0-alpha.1": server, "v0.19.0": server,
		"v1.41.0": joinery, "v1.41.0-alpha.1": joinery, "v1.99.1": joinery, "v2.0.0": joinery, "v2.35.1": joinery, "v2.0.0-rc.1": joinery,
	} {
		for _, image := range badImages {
			got, err := images.Judge(image, images.Versions{APIServer: at, Joinery: running.Joinery})
			if err != nil || len(got) == 0 {
				t.Fatalf("%s: %+v, %v", at, got, err)
			}
			if version := baked(t, got[0].Fix); version != want && !strings.HasPrefix(got[0].Fix, want+" ") && !strings.HasPrefix(got[0].Fix, want+":") {
				t.Errorf("%s: %q, want %s", at, got[0].Fix, want)
			}
		}
	}
}

// Whatever the API server: a fix names a version that the bake takes and whose kubelet
// this API server takes, and says to do something else only where there is none.
func TestFixesCanBeDone(t *testing.T) {
	for _, suffix := range []string{"", "-eks-1", "-alpha.2", "-rc.0"} {
		for minor := range 60 {
			at := images.Versions{APIServer: fmt.Sprintf("v1.%d.%d%s", minor, minor%4, suffix), Joinery: running.Joinery}
			fits := func(version string) bool {
				got, err := images.Judge(tagged(version, "0.3.1"), at)
				return err == nil && len(got) == 0 && bakes(version)
			}
			got, err := images.Judge(images.Image{ID: "ami-1"}, at)
			if err != nil {
				t.Fatal(err)
			}
			if version := baked(t, got[0].Fix); version != "" {
				if !fits(version) {
					t.Errorf("%s: %q cannot be done", at.APIServer, got[0].Fix)
				}
				continue
			}
			for kubelet := range minor { // a pre-release takes no kubelet of its own minor version
				if version := fmt.Sprintf("1.%d.0", kubelet); fits(version) {
					t.Errorf("%s: %q, though %s would do", at.APIServer, got[0].Fix, version)
				}
			}
		}
	}
}

// The image's template sets the tags that are read, from the variables that the
// commands name.
func TestTemplateSetsTheTags(t *testing.T) {
	text := ""
	for _, name := range []string{"node.pkr.hcl", "variables.pkr.hcl"} {
		part, err := os.ReadFile("../../packer/ebs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text += string(part)
	}
	text = strings.Join(strings.Fields(text), " ")
	for tag, variable := range map[string]string{v1alpha1.KubernetesVersionTag: "kubernetes_version", v1alpha1.JoineryVersionTag: "joinery_version"} {
		for _, want := range []string{`"` + tag + `" = var.` + variable + " ", `variable "` + variable + `" {`} {
			if !strings.Contains(text, want) {
				t.Errorf("the template has no %s", want)
			}
		}
		if got, err := images.Judge(without(tagged("1.36.4", "0.3.1"), tag), running); err != nil || !strings.Contains(got[0].Fix, variable) {
			t.Errorf("%s: %+v, %v", tag, got, err)
		}
	}
}
