package images_test

import (
	"os"
	"regexp"
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

// What a fix says can be done: a bake takes its version, and the image that it makes has
// a kubelet that this API server takes.
func TestFixesCanBeBaked(t *testing.T) {
	version := regexp.MustCompile(`^packer build -var-file=node\.pkrvars\.hcl -var kubernetes_version=(\S+) packer/ebs`)
	for server, want := range map[string]string{
		"v1.36.4": "1.36.4", "v1.36.2-eks-1": "1.36.2", "v1.35.1-gke.100": "1.35.1", "v1.34.3+k3s1": "1.34.3", "v1.36.0-eks-a5ec690": "1.36.0",
		"v1.37.0-alpha.3": "1.36.0", "v1.37.0-beta.0": "1.36.0", "v1.37.0-rc.1": "1.36.0", "v1.37.2-rc.0+dirty": "1.36.0",
	} {
		at := images.Versions{APIServer: server, Joinery: running.Joinery}
		for _, image := range []images.Image{tagged("1.20.0", "0.3.1"), tagged("2.0.0", "0.3.1"), tagged("", "0.3.1"), {ID: "ami-1"}, {ID: "ami-1", Gone: true}} {
			got, err := images.Judge(image, at)
			if err != nil || len(got) == 0 {
				t.Fatalf("%s: %+v, %v", server, got, err)
			}
			m := version.FindStringSubmatch(got[0].Fix)
			if m == nil || m[1] != want {
				t.Errorf("%s: %q, want %s", server, got[0].Fix, want)
				continue
			}
			for _, p := range (bake.Options{KubernetesVersion: m[1]}).Problems() {
				if p.Field == "kubernetes_version" {
					t.Errorf("%s: %v", server, p)
				}
			}
			if again, err := images.Judge(tagged(m[1], "0.3.1"), at); err != nil || len(again) > 0 {
				t.Errorf("%s: an image of %s has %+v, %v", server, m[1], again, err)
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
