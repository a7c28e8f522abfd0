package fleet_test

import (
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
		got := fleet.Refusal(test.tags, "demo")
		g := fleet.Group{Tags: test.tags}
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
