package loop_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// bareGroup is a group that carries no tag at all, as the ones that seed recipes name
// with --nodes=min:max:name.
func (f *fixture) bareGroup(name string, maximum int, tags ...awssim.Tag) {
	f.t.Helper()
	f.ok(f.aws.PutGroup(awssim.GroupSpec{Name: name, Max: maximum, LaunchTemplate: "workers", Tags: tags}))
}

// A named group grows without a tag, within the narrower bounds; one that AWS does not
// know is told, and one that another cluster owns stays alone.
func TestGroupsNamedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "groups: [{name: eks-a, max: 2}, {name: absent}, {name: theirs}]")
		f.bareGroup("eks-a", 10)
		f.bareGroup("unnamed", 10)
		f.bareGroup("theirs", 10, awssim.Tag{Key: "joinery:cluster", Value: "prod"})
		defer f.run()()
		f.pend(9, "app", "1500m", "1Gi")
		bubble.Sleep(time.Minute)
		for name, want := range map[string]int{"eks-a": 2, "unnamed": 0, "theirs": 0} {
			if d := f.desired(name); d != want {
				t.Errorf("%s: desired is %d, want %d", name, d, want)
			}
		}
		reasons := map[string]string{}
		for _, s := range f.decisions()[0].Skipped {
			reasons[s.Name] = s.Reason
		}
		if !strings.Contains(reasons["absent"], "AWS knows no group") || !strings.Contains(reasons["theirs"], "another cluster") {
			t.Errorf("skipped: %v", reasons)
		}
		if n := f.eventsWith("GroupUnknown"); n != 1 {
			t.Errorf("%d events about the unknown group, want 1", n)
		}
	})
}

// With discovery off, tags find nothing.
func TestDiscoveryOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "discovery: off, groups: [{name: eks-a}]")
		f.bareGroup("eks-a", 1)
		f.group("tagged", 0, 0)
		defer f.run()()
		f.pend(9, "app", "1500m", "1Gi")
		bubble.Sleep(time.Minute)
		if a, b := f.desired("eks-a"), f.desired("tagged"); a != 1 || b != 0 {
			t.Errorf("desired is %d and %d, want 1 and 0", a, b)
		}
	})
}
