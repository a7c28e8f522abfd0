package rules_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
	"github.com/joinery/joinery/internal/kube"
)

func heldSince(ago time.Duration) map[string]string {
	return map[string]string{v1alpha1.HeldSinceLabel: strconv.FormatInt(now.Add(-ago).Unix(), 10)}
}

func TestHoldCountsOnlySoLong(t *testing.T) {
	const most = 24 * time.Hour
	override := func(value string) map[string]string {
		return map[string]string{v1alpha1.HeldSinceLabel: heldSince(48 * time.Hour)[v1alpha1.HeldSinceLabel], rules.HoldLabel: value}
	}
	for name, tc := range map[string]struct {
		labels map[string]string
		most   time.Duration
		want   rules.HoldState
	}{
		"first seen":             {nil, most, rules.Holding},
		"within its time":        {heldSince(23 * time.Hour), most, rules.Holding},
		"for its time exactly":   {heldSince(24 * time.Hour), most, rules.Expired},
		"for too long":           {heldSince(48 * time.Hour), most, rules.Expired},
		"for long without limit": {heldSince(1000 * time.Hour), 0, rules.Holding},
		"since a time to come":   {heldSince(-time.Hour), most, rules.Holding},
		"since nonsense":         {map[string]string{v1alpha1.HeldSinceLabel: "yesterday"}, most, rules.Holding},
		"unlimited by label":     {override(rules.HoldUnlimited), most, rules.Unlimited},
		"released by label":      {override(rules.HoldReleased), 0, rules.Released},
		"another word":           {override("yes"), most, rules.Expired},
	} {
		for hold, edit := range map[string]func(*corev1.Node){
			"annotation": func(n *corev1.Node) { n.Annotations = map[string]string{kube.ScaleDownDisabledAnnotation: "true"} },
			"inhibitor":  func(n *corev1.Node) { report(n, "False", v1alpha1.InhibitorHeld, time.Hour) },
			"file":       func(n *corev1.Node) { report(n, "False", v1alpha1.HoldFile, 0) },
			"any word":   func(n *corev1.Node) { report(n, "False", "Rebooting", 0) },
		} {
			t.Run(name+"/"+hold, func(t *testing.T) {
				n := &corev1.Node{}
				n.Labels = tc.labels
				edit(n)
				c := rules.Context{Now: now, Options: rules.Options{ReportTimeout: 5 * time.Minute, MaxHold: tc.most}}
				h, held := c.Hold(n, false)
				if !held || h.State != tc.want {
					t.Errorf("got %+v, %v, want %s", h, held, tc.want)
				}
				counts := tc.want == rules.Holding || tc.want == rules.Unlimited
				cause, why := c.Node(rules.NodeFacts{Node: n, InGroup: true, LifecycleState: "InService"})
				if (cause != "") != counts || h.Counts() != counts {
					t.Errorf("stays for %q: %s", cause, why)
				}
				if tc.want == rules.Unlimited && !strings.Contains(why, "without limit") || !h.Until.IsZero() && counts && !strings.Contains(why, "counts until") {
					t.Errorf("%s: does not say how long", why)
				}
				if refuses := rules.Refuses(n, now, tc.most, false) != ""; refuses != counts {
					t.Errorf("refuses %v", refuses)
				}
				lasting := hold != "any word"
				if back := rules.TakenBack(n, now, tc.most) != ""; back != (counts && lasting) {
					t.Errorf("takes a removal back %v", back)
				}
			})
		}
	}
}

func TestNoHold(t *testing.T) {
	c := rules.Context{Now: now, Options: rules.Options{ReportTimeout: 5 * time.Minute}}
	n := &corev1.Node{}
	n.Labels = map[string]string{rules.HoldLabel: rules.HoldUnlimited}
	if h, held := c.Hold(n, true); held {
		t.Errorf("the override alone holds the node: %+v", h)
	}
	report(n, "False", v1alpha1.PodsRunning, 0)
	if _, held := c.Hold(n, false); held {
		t.Error("running pods hold the node")
	}
	if h, held := c.Hold(n, true); !held || h.State != rules.Unlimited {
		t.Errorf("got %+v for pods that no one else sees", h)
	}
}
