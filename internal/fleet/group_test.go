package fleet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/fleet"
)

func TestRefusal(t *testing.T) {
	const enabled, ours, others, owner = "k8s.io/cluster-autoscaler/enabled", "k8s.io/cluster-autoscaler/demo", "k8s.io/cluster-autoscaler/prod", "joinery:cluster"
	for _, test := range []struct {
		tags map[string]string
		want string // part of the reason; empty: managed
	}{
		{map[string]string{enabled: "", ours: "owned", owner: "demo"}, ""},
		{map[string]string{enabled: "false", ours: "", others: "", owner: "demo"}, ""},
		{map[string]string{enabled: "", ours: "", owner: "prod"}, `names another cluster, "prod"`},
		{map[string]string{enabled: "", ours: "", owner: ""}, `names another cluster, ""`},
		{map[string]string{enabled: "", ours: ""}, "missing tag " + owner},
		{map[string]string{enabled: "", others: "", owner: "demo"}, "missing tag " + ours},
		{map[string]string{ours: "", owner: "demo"}, "missing tag " + enabled},
		{nil, "missing tag " + enabled},
	} {
		g := fleet.Group{Tags: test.tags}
		got := g.Refusal("demo")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) || g.Managed("demo") != (got == "") {
			t.Errorf("%v: %q: expected %q", test.tags, got, test.want)
		}
	}
}

func TestLifecycle(t *testing.T) {
	for state, want := range map[fleet.Lifecycle]string{
		"Pending": "pending", "Pending:Wait": "pending", "Pending:Proceed": "pending",
		"InService": "in service", "Terminating": "leaving", "Terminating:Wait": "leaving", "Terminating:Retained": "leaving", "Terminated": "leaving",
		"Detaching": "leaving", "Detached": "leaving", "EnteringStandby": "standby", "Standby": "standby",
		"Warmed:Pending": "pooled", "Warmed:Pending:Wait": "pooled", "Warmed:Terminating:Wait": "pooled", "Warmed:Stopped": "pooled", "Warmed:Running": "pooled",
		"Quarantined": "", "ReplacingRootVolume": "", "": "", "Pendings": "", "inservice": "",
	} {
		got := ""
		for name, is := range map[string]bool{"pending": state.Pending(), "in service": state.InService(), "leaving": state.Leaving(), "standby": state.Standby(), "pooled": state.Pooled()} {
			if is {
				got += name
			}
		}
		if got != want || state.OutOfService() != (want == "standby" || want == "pooled") {
			t.Errorf("%s is %q: expected %q", state, got, want)
		}
	}
}

func TestLaunchTemplates(t *testing.T) {
	group, own, later := &fleet.TemplateRef{ID: "lt-1", Version: "1"}, &fleet.TemplateRef{ID: "lt-2"}, &fleet.TemplateRef{ID: "lt-1", Version: "2"}
	for name, tt := range map[string]struct {
		launch fleet.Launch
		want   []fleet.TemplateRef
	}{
		"nothing":           {fleet.Launch{}, nil},
		"configuration":     {fleet.Launch{Configuration: "c"}, nil},
		"template":          {fleet.Launch{Template: group}, []fleet.TemplateRef{*group}},
		"types":             {fleet.Launch{Template: group, Overrides: []fleet.Override{{Type: "a"}, {Type: "b"}}}, []fleet.TemplateRef{*group}},
		"one of its own":    {fleet.Launch{Template: group, Overrides: []fleet.Override{{Template: own}, {Type: "b"}}}, []fleet.TemplateRef{*own, *group}},
		"all of their own":  {fleet.Launch{Template: group, Overrides: []fleet.Override{{Template: own}, {Template: own}}}, []fleet.TemplateRef{*own}},
		"another version":   {fleet.Launch{Template: group, Overrides: []fleet.Override{{Type: "a"}, {Template: later}}}, []fleet.TemplateRef{*group, *later}},
		"no group's at all": {fleet.Launch{Overrides: []fleet.Override{{Type: "a"}, {Template: own}}}, []fleet.TemplateRef{*own}},
	} {
		if got := tt.launch.Templates(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
