package fit_test

import (
	"strings"
	"testing"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
)

// Where volumes decide, the ledger answers what the scheduler's plugins answer, for
// every pod on every node and on a new one, whatever claims, drivers, attachments and
// volumes there are.
func TestVolumesAgreeWithTheScheduler(t *testing.T) {
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	yes, no := 0, map[string]int{}
	for seed := range uint64(120) {
		in := ct.Honest(ct.RandomStorage(seed))
		s, err := cluster.New(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Pending() {
			l, err := fit.NewLedger(s, nil, []*cluster.Class{p.Class})
			if err != nil {
				t.Fatal(err)
			}
			b := l.Batch(p.Class, 1)
			fresh := l.OpenNext("workers")
			for n := range int32(l.Len()) {
				plan := validate.Plan{Placements: []cluster.Placement{{Pod: p.Pod, Node: l.State(n).Name()}}}
				if n == fresh {
					plan.NewNodes = []cluster.NewNode{{Name: l.State(n).Name(), Group: "workers", Zone: l.State(n).Zone}}
				}
				problems, err := validate.Check(in, plan, profile, validate.Options{})
				if err != nil {
					t.Fatal(err)
				}
				why := p.Class.Volumes.Refused
				if waitsForAnother(why) {
					continue
				}
				if why == "" {
					why = l.Why(b, n).String()
				}
				if (why == "") != (len(problems) == 0) {
					t.Errorf("seed %d: pod %s on %s: the ledger says %q, the scheduler %v", seed, p.Name, plan.Placements[0].Node, why, problems)
				}
				if len(problems) == 0 {
					yes++
				} else {
					no[problems[0].Plugin]++
				}
			}
		}
	}
	t.Logf("%d pairs fit, refused are %v", yes, no)
	for _, plugin := range []string{"VolumeBinding", "NodeVolumeLimits", "VolumeZone", "VolumeRestrictions"} {
		if no[plugin] < 20 {
			t.Errorf("%s refuses %d pairs only: too few", plugin, no[plugin])
		}
	}
	if yes < 200 {
		t.Errorf("%d pairs fit: too few", yes)
	}
}

// waitsForAnother: of the pods that share a claim without a volume the planner places
// one, and lets the others wait until it is known where.
func waitsForAnother(refused string) bool {
	return strings.Contains(refused, "it will be made where pod")
}
