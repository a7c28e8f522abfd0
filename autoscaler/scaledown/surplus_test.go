package scaledown_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
)

// A group that was retired or made smaller by hand has protected instances that Auto
// Scaling does not end: idle ones go, and full ones too while they are beyond the desired
// capacity and their pods have a place.
func TestSurplusGoes(t *testing.T) {
	for _, tt := range []struct {
		name           string
		least, desired int
		bare           bool   // the instances are not protected
		cpu            string // of the one pod on each of the nodes but the last, which is idle
		suspended      bool
		refreshing     bool // an instance refresh is under way
		elsewhere      bool // another group has a free node at its minimum
		want           int  // nodes that go, now or later
	}{
		{name: "retired, idle", cpu: "", want: 3},
		{name: "retired and full, with no place for the pods", cpu: "1500m", want: 1},
		{name: "retired and full, with room elsewhere", cpu: "1500m", elsewhere: true, want: 2},
		{name: "made smaller by one, all full but one", least: 2, desired: 2, cpu: "1500m", want: 1},
		{name: "not made smaller, all full but one", desired: 3, least: 3, cpu: "1200m", want: 0},
		{name: "Auto Scaling ends them itself", bare: true, cpu: "1200m", want: 0},
		{name: "an instance refresh has more than the desired capacity", desired: 2, refreshing: true, cpu: "", want: 0},
		{name: "nothing is to be ended there", cpu: "", suspended: true, want: 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := pool(3)
			g := &in.Groups[0]
			g.Min, g.Max, g.Desired = tt.least, tt.desired, tt.desired
			if tt.suspended {
				g.Suspended = []string{cluster.ProcessTerminate}
			}
			if tt.refreshing {
				g.Refresh = &cluster.Refresh{ID: "r", Status: "InProgress"}
			}
			for i := range in.Nodes {
				g.Instances[i].Protected = !tt.bare
				unneeded(in.Nodes[i], time.Hour)
				if tt.cpu != "" && i < 2 {
					in.Pods = append(in.Pods, ct.Running(fmt.Sprint("pod-", i), in.Nodes[i].Name, tt.cpu, "64Mi"))
				}
			}
			if tt.elsewhere {
				other := ct.Group("other", 1, 1, 9, "2", "4Gi", "us-west-2a")
				in.Nodes = append(in.Nodes, ct.Join(&other, "i-9", "us-west-2a"))
				in.Groups = append(in.Groups, other)
			}
			d := plan(t, in, scaledown.Options{})
			if got := len(d.Unneeded); got != tt.want {
				t.Errorf("%d nodes go, want %d: %+v", got, tt.want, d.Needed)
			}
		})
	}
}
