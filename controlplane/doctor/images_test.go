package doctor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apiversion "k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/internal/binding"
)

// seen is what a look at the groups' images shows.
type seen struct {
	images []images.Image
	err    error
}

func (s seen) Look(context.Context) ([]images.Image, error) { return s.images, s.err }

// noEC2 knows no instance.
type noEC2 struct{}

func (noEC2) Evidence(context.Context, binding.Questions, time.Duration) (binding.Evidence, error) {
	return binding.Evidence{}, nil
}

// Absent, invalid and current are different findings; each that is not well has the
// command that helps.
func TestImages(t *testing.T) {
	tags := func(kubelet, agent string) map[string]string {
		return map[string]string{v1alpha1.KubernetesVersionTag: kubelet, v1alpha1.JoineryVersionTag: agent}
	}
	for name, c := range map[string]struct {
		seen seen
		want []string // level and begin of each finding
	}{
		"current": {seen{images: []images.Image{{ID: "ami-1", Groups: []string{"a"}, Tags: tags("1.36.0", "0.3.0")}}}, []string{"ok image ami-1 of a is current"}},
		"absent":  {seen{images: []images.Image{{ID: "ami-1", Groups: []string{"a"}}}}, []string{"warning image ami-1 of a has no tag joinery:kubernetes-version", "warning image ami-1 of a has no tag joinery:version"}},
		"invalid": {seen{images: []images.Image{{ID: "ami-1", Groups: []string{"a"}, Tags: tags("x", "y")}}}, []string{`warning image ami-1 of a has the tag joinery:kubernetes-version="x"`, `warning image ami-1 of a has the tag joinery:version="y"`}},
		"outside of the policies": {seen{images: []images.Image{{ID: "ami-1", Groups: []string{"a"}, Tags: tags("1.37.0", "0.1.0")}, {ID: "ami-2", Groups: []string{"b"}, Gone: true}}},
			[]string{"error image ami-1 of a has kubelet 1.37.0, the API server is 1.36.4", "warning image ami-1 of a has agent 0.1.0, this is Joinery 0.3.0", "error image ami-2 of b is not shown by EC2"}},
		"partly unread": {seen{images: []images.Image{{ID: "ami-1", Groups: []string{"a"}, Tags: tags("1.36.0", "0.3.0")}}, err: errors.New("image of group b: gone")},
			[]string{"ok image ami-1", "unknown image of group b: gone"}},
		"nothing launches": {seen{}, []string{"ok no group has an image yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			client.Discovery().(*fakediscovery.FakeDiscovery).FakedServerVersion = &apiversion.Info{GitVersion: "v1.36.4"}
			all := doctor.Examine(t.Context(), doctor.Cluster{Client: client, Version: "v0.3.0", Site: func(context.Context) (doctor.Site, error) {
				return doctor.Site{Fleet: noEC2{}, Images: c.seen}, nil
			}})
			var got []string
			for _, f := range all {
				if f.Check != "images" {
					continue
				}
				got = append(got, string(f.Level)+" "+f.Found)
				if (f.Level == doctor.OK) != (f.Mend == "") {
					t.Errorf("%s: the command that helps is %q", f.Found, f.Mend)
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			for n := range got {
				if !strings.HasPrefix(got[n], c.want[n]) {
					t.Errorf("got %q, want %q", got[n], c.want[n])
				}
			}
		})
	}
}
