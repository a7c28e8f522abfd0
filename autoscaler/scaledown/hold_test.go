package scaledown_test

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/kube"
)

// TestLiarHoldsItselfOnlySoLong has a node say for ever that it must not go, in each
// way that a node has. No other node is kept or taken because of it.
func TestLiarHoldsItselfOnlySoLong(t *testing.T) {
	for _, reason := range []string{"InhibitorHeld", "HoldFile", "Joining", "PodsRunning", "annotation"} {
		for name, tc := range map[string]struct {
			held   time.Duration // as the label says; 0 for none
			label  string
			option time.Duration
			gone   bool
			state  scaledown.HoldState
		}{
			"first seen":        {0, "", 0, false, scaledown.HoldCounts},
			"for a day":         {24 * time.Hour, "", 0, false, scaledown.HoldCounts},
			"for a week":        {7 * 24 * time.Hour, "", 0, true, scaledown.HoldExpired},
			"beyond the option": {2 * time.Hour, "", time.Hour, true, scaledown.HoldExpired},
			"without a limit":   {1000 * time.Hour, "", -1, false, scaledown.HoldCounts},
			"unlimited":         {1000 * time.Hour, "unlimited", 0, false, scaledown.HoldUnlimited},
			"released":          {0, "released", 0, true, scaledown.HoldReleased},
		} {
			t.Run(reason+"/"+name, func(t *testing.T) {
				in := pool(3)
				n := in.Nodes[0]
				unneeded(n, time.Hour)
				if reason == "annotation" {
					metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.ScaleDownDisabledAnnotation, "true")
				} else {
					agent(n, "False", reason, time.Hour)
				}
				if tc.held > 0 {
					metav1.SetMetaDataLabel(&n.ObjectMeta, v1alpha1.HeldSinceLabel, strconv.FormatInt(now.Add(-tc.held).Unix(), 10))
				}
				if tc.label != "" {
					metav1.SetMetaDataLabel(&n.ObjectMeta, "joinery.node-restriction.kubernetes.io/hold", tc.label)
				}
				d := plan(t, in, scaledown.Options{MaxHold: tc.option})
				if got := verdict(d, n.Name); (got == "remove") != tc.gone {
					t.Errorf("got %q", got)
				}
				if len(d.Holds) != 1 || d.Holds[0].Node != n.Name || d.Holds[0].State != tc.state || d.Holds[0].Text == "" {
					t.Errorf("tells of %+v", d.Holds)
				}
				for _, other := range in.Nodes[1:] {
					if got := verdict(d, other.Name); got != "NotUnneededLongEnough" && got != "NodeGroupMinSizeReached" {
						t.Errorf("%s: %s", other.Name, got)
					}
				}
			})
		}
	}
}
