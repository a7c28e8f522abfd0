package images_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/simcluster"
)

// world has a group for each of some images.
func world(t *testing.T, groups map[string]string) (*awssim.World, images.Looker) {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	for group, image := range groups {
		w.PutLaunchTemplate(group, awssim.LaunchTemplateData{ImageID: image, InstanceType: "t3.medium"})
		if err := w.PutGroup(awssim.GroupSpec{Name: group, Max: 3, LaunchTemplate: group, Tags: simcluster.Tags()}); err != nil {
			t.Fatal(err)
		}
	}
	c := w.Config("controller")
	instances := ec2.NewFromConfig(c)
	fleet := awsfleet.New(awsfleet.Options{EC2: instances, AutoScaling: autoscaling.NewFromConfig(c), Scope: fleet.Scope{Cluster: simcluster.Name}})
	return w, images.Looker{Fleet: fleet, Templates: launch.NewTemplates(instances), EC2: instances}
}

func TestLook(t *testing.T) {
	tags := map[string]string{v1alpha1.KubernetesVersionTag: "1.36.4", "Name": "x"}
	w, l := world(t, map[string]string{"one": "ami-0000000000000000a", "two": "ami-0000000000000000a", "three": "ami-0000000000000000b", "lost": "ami-0000000000000000c"})
	w.PutImage(awssim.Image{ID: "ami-0000000000000000a", Tags: tags})
	w.PutImage(awssim.Image{ID: "ami-0000000000000000b"})
	w.PutImage(awssim.Image{ID: "ami-0000000000000000c", State: awssim.Deregistered})
	got, err := l.Look(t.Context())
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if a := got[0]; a.Gone || strings.Join(a.Groups, " ") != "one two" || !maps.Equal(a.Tags, tags) {
		t.Errorf("shared image: %+v", a)
	}
	if b := got[1]; b.Gone || len(b.Tags) > 0 {
		t.Errorf("image without tags: %+v", b)
	}
	if c := got[2]; !c.Gone || strings.Join(c.Groups, " ") != "lost" {
		t.Errorf("deregistered image: %+v", c)
	}
	if n := len(w.CallsTo("ec2", "DescribeImages")); n != 1 {
		t.Errorf("%d questions about images, want one", n)
	}
}

// lost has lost the template of one group.
type lost struct{ *launch.Templates }

var errLost = errors.New("no such template")

func (l lost) Get(ctx context.Context, ref fleet.TemplateRef, maxAge time.Duration) (launch.Template, error) {
	if ref.Name == "one" {
		return launch.Template{}, errLost
	}
	return l.Templates.Get(ctx, ref, maxAge)
}

// What a launch configuration or a template without a fixed image launches is seen
// on instances. What cannot be read hides nothing else.
func TestLookBesideTemplates(t *testing.T) {
	w, l := world(t, map[string]string{"one": "ami-0000000000000000a", "two": "ami-0000000000000000b"})
	w.PutImage(awssim.Image{ID: "ami-0000000000000000b"})
	for group, desired := range map[string]int{"configured": 2, "empty": 0} {
		if err := w.PutGroup(awssim.GroupSpec{Name: group, InstanceType: "t3.large", Max: 3, Desired: desired, Tags: simcluster.Tags()}); err != nil {
			t.Fatal(err)
		}
	}
	l.Templates = lost{l.Templates.(*launch.Templates)}
	got, err := l.Look(t.Context())
	if !errors.Is(err, errLost) || !strings.Contains(err.Error(), "image of group one: ") {
		t.Errorf("a lost template gives %v", err)
	}
	if len(got) != 2 || strings.Join(got[0].Groups, " ") != "two" || got[1].ID != awssim.DefaultImageID || strings.Join(got[1].Groups, " ") != "configured" {
		t.Errorf("got %+v", got)
	}
	w.Inject(awssim.Fault{Action: "DescribeImages", Code: "UnauthorizedOperation", Count: 1})
	if got, err := l.Look(t.Context()); got != nil || err == nil || !strings.Contains(err.Error(), "describe images: ") {
		t.Errorf("without the right: %+v, %v", got, err)
	}
}

// mixed gives a group a mixed instances policy, which the simulated AWS has not.
type mixed struct {
	*awsfleet.Reader
	group     string
	overrides []fleet.Override
}

func (m mixed) Managed(ctx context.Context, maxAge time.Duration) ([]fleet.Group, error) {
	all, err := m.Reader.Managed(ctx, maxAge)
	for i := range all {
		if all[i].Name == m.group {
			all[i].Launch.Overrides = m.overrides
		}
	}
	return all, err
}

// The templates of single overrides have images too, and the group's own none where no
// override is launched from it.
func TestLookAtOverrides(t *testing.T) {
	own := func(name string) fleet.Override {
		return fleet.Override{Type: "t3.large", Template: &fleet.TemplateRef{Name: name, Version: "$Latest"}}
	}
	const a, b, c = "ami-0000000000000000a", "ami-0000000000000000b", "ami-0000000000000000c"
	for name, tt := range map[string]struct {
		overrides []fleet.Override
		want      string
	}{
		"none":                  {nil, a},
		"types only":            {[]fleet.Override{{Type: "t3.large"}, {Type: "t3.medium"}}, a},
		"one of its own":        {[]fleet.Override{{Type: "t3.medium"}, own("tmpl-b")}, a + " " + b},
		"all of their own":      {[]fleet.Override{own("tmpl-b"), own("tmpl-c"), own("tmpl-b")}, b + " " + c},
		"the same image":        {[]fleet.Override{{Type: "t3.medium"}, own("again")}, a},
		"looked up, never seen": {[]fleet.Override{own("tmpl-b"), own("floating")}, b},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := world(t, map[string]string{"one": a})
			for template, image := range map[string]string{"tmpl-b": b, "tmpl-c": c, "again": a, "floating": "resolve:ssm:/images/node"} {
				w.PutLaunchTemplate(template, awssim.LaunchTemplateData{ImageID: image, InstanceType: "t3.medium"})
			}
			l.Fleet = mixed{l.Fleet.(*awsfleet.Reader), "one", tt.overrides}
			got, err := l.Look(t.Context())
			var ids []string
			for _, i := range got {
				ids = append(ids, i.ID)
				if strings.Join(i.Groups, " ") != "one" {
					t.Errorf("%s is of %v", i.ID, i.Groups)
				}
			}
			if err != nil || strings.Join(ids, " ") != tt.want {
				t.Errorf("got %v, %v, want %s", ids, err, tt.want)
			}
		})
	}
	_, l := world(t, map[string]string{"one": a})
	l.Fleet = mixed{l.Fleet.(*awsfleet.Reader), "one", []fleet.Override{{Type: "t3.medium"}, own("none")}}
	if got, err := l.Look(t.Context()); len(got) != 1 || got[0].ID != a || err == nil || !strings.Contains(err.Error(), "image of group one: launch template none") {
		t.Errorf("beside a lost template: %+v, %v", got, err)
	}
}

// An image that is looked up at each launch is that of the newest instance of its
// template, not of the group's.
func TestLookedUpImageIsItsTemplates(t *testing.T) {
	const looked, fixed = "resolve:ssm:/images/node", "ami-0000000000000000a"
	w, l := world(t, map[string]string{"one": fixed})
	w.PutLaunchTemplate("floating", awssim.LaunchTemplateData{ImageID: looked, InstanceType: "t3.medium"})
	if err := w.PutGroup(awssim.GroupSpec{Name: "one", Max: 3, Desired: 1, LaunchTemplate: "one", Tags: simcluster.Tags()}); err != nil {
		t.Fatal(err)
	}
	l.Fleet = mixed{l.Fleet.(*awsfleet.Reader), "one", []fleet.Override{{Template: &fleet.TemplateRef{Name: "floating"}}}}
	if got, err := l.Look(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("another template's instance counts: %+v, %v", got, err)
	}
}
