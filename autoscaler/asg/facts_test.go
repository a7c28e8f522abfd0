package asg_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
)

func TestTagsSetHowAGroupIsChosen(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	putTemplate(&w, "workers", goodConfig)
	put := func(name string, tags ...awssim.Tag) {
		spec := awssim.GroupSpec{Name: name, Max: 3, LaunchTemplate: "workers", Tags: discoverable(tags...)}
		if len(tags) > 0 {
			spec.WarmPool = &awssim.WarmPool{MinSize: len(tags), MaxPrepared: len(tags)}
		}
		putGroup(t, &w, spec)
	}
	put("plain")
	put("set", awssim.Tag{Key: v1alpha1.PriceTag, Value: "0.01"}, awssim.Tag{Key: v1alpha1.PriorityTag, Value: "10"}, awssim.Tag{Key: v1alpha1.HeadroomTag, Value: "2"})
	put("bad", awssim.Tag{Key: v1alpha1.HeadroomTag, Value: "-1"}, awssim.Tag{Key: v1alpha1.PriorityTag, Value: "7"})
	groups := groupsOf(t, c)
	if g := groups["plain"]; g.Price != 0.05 || g.Priority != 0 || g.Headroom != 0 || g.Warm != 0 || !slices.Equal(g.InstanceTypes, []string{"t3.medium"}) {
		t.Errorf("plain: %+v", g)
	}
	if g := groups["set"]; g.Price != 0.01 || g.Priority != 10 || g.Headroom != 2 || g.Warm != 3 || g.TemplateError != nil {
		t.Errorf("set: %+v", g)
	}
	g := groups["bad"]
	if g.TemplateError == nil || !strings.Contains(g.TemplateError.Error(), `tag joinery:headroom="-1": expected a whole number of 0 to 1000`) || g.Template != nil {
		t.Errorf("bad: template %v, error %v", g.Template, g.TemplateError)
	}
	if g.Priority != 7 || g.Price != 0.05 || len(g.InstanceTypes) != 1 {
		t.Errorf("bad: what is known is not told: %+v", g)
	}
}

func TestRemovalsAreRemembered(t *testing.T) {
	var w awssim.World
	c := newClient(t, &w, nil)
	workers(t, &w, 0, 6, 1)
	read := func() (removed, failed time.Time) {
		t.Helper()
		groups, err := c.Groups(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return groups[0].LastScaleDown, groups[0].LastScaleDownFailure
	}
	if removed, failed := read(); !removed.IsZero() || !failed.IsZero() {
		t.Errorf("at first removed %s, failed %s", removed, failed)
	}
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	c.Removed("workers", at)
	c.RemovalFailed("workers", at.Add(time.Minute))
	c.Removed("workers", at.Add(-time.Hour)) // one that ended earlier
	if removed, failed := read(); !removed.Equal(at) || !failed.Equal(at.Add(time.Minute)) {
		t.Errorf("removed %s, failed %s", removed, failed)
	}
}

// Where the launch template looks its image up at each launch, the instances are
// asked for theirs, once.
func TestFloatingImagesAreAskedForOnce(t *testing.T) {
	for image, want := range map[string]int{awssim.DefaultImageID: 0, "resolve:ssm:/images/worker": 1} {
		var w awssim.World
		c := newClient(t, &w, nil)
		w.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: image, InstanceType: "t3.medium", UserData: base64.StdEncoding.EncodeToString([]byte(goodConfig))})
		putGroup(t, &w, awssim.GroupSpec{Name: "workers", Max: 3, Desired: 2, LaunchTemplate: "workers", Tags: discoverable()})
		for range 2 {
			if g := got(t, c, "workers"); g.TemplateError != nil || len(g.Instances) != 2 {
				t.Fatalf("group is %+v, %v", g, g.TemplateError)
			}
		}
		if n := len(w.CallsTo("ec2", "DescribeInstances")); n != want {
			t.Errorf("image %s: %d calls, want %d", image, n, want)
		}
	}
}
