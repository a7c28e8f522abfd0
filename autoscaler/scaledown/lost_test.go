package scaledown_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/kube"
)

// ended says that the pod's deletion was asked for; its kubelet never followed.
func ended(ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now.Add(-ago)} }
}

func ready(n *corev1.Node, status corev1.ConditionStatus) {
	kube.Condition(n, corev1.NodeReady).Status = status
}

func TestLostNode(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(in *cluster.Input, n *corev1.Node)
		want string
		// kept is what the decision says keeps it.
		kept string
	}{
		"an agent outlives its kubelet": {func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "Joining", time.Hour) }, "remove", ""},
		"and saw pods last":             {func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "PodsRunning", time.Hour) }, "remove", ""},
		"held by a file":                {func(_ *cluster.Input, n *corev1.Node) { agent(n, "False", "HoldFile", time.Hour) }, "NotReady", "holds itself"},
		"disabled by an annotation": {func(_ *cluster.Input, n *corev1.Node) {
			metav1.SetMetaDataAnnotation(&n.ObjectMeta, kube.ScaleDownDisabledAnnotation, "true")
		}, "ScaleDownDisabledAnnotation", ""},
		"pods terminating for hours": {func(in *cluster.Input, n *corev1.Node) {
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "1500m", "1Gi", ended(6*time.Hour)), ct.Running("b", n.Name, "100m", "1Gi", ended(time.Second)))
		}, "remove", ""},
		"a pod that must not be evicted, terminating": {func(in *cluster.Input, n *corev1.Node) {
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "1500m", "1Gi", ct.Annotation(kube.SafeToEvictAnnotation, "false"), ended(time.Hour)))
		}, "remove", ""},
		"a pod that must not be evicted": {func(in *cluster.Input, n *corev1.Node) {
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "100m", "1Gi", ct.Annotation(kube.SafeToEvictAnnotation, "false")))
		}, "NotReady", "safe-to-evict"},
		"a pod that fits elsewhere": {func(in *cluster.Input, n *corev1.Node) {
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "100m", "256Mi"))
		}, "remove", ""},
		"a pod that fits nowhere else": {func(in *cluster.Input, n *corev1.Node) {
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "1500m", "256Mi"))
		}, "NoPlaceToMovePods", ""},
		"a pod, and the kubelet still speaks": {func(in *cluster.Input, n *corev1.Node) {
			ready(n, corev1.ConditionFalse)
			n.CreationTimestamp = metav1.NewTime(now.Add(-2 * time.Hour))
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "100m", "256Mi"))
		}, "NotReady", "still speaks"},
		"a pod, for a moment": {func(in *cluster.Input, n *corev1.Node) {
			lost(n, time.Minute)
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "100m", "256Mi"))
		}, "NotReady", "not terminating yet"},
		"for a moment": {func(_ *cluster.Input, n *corev1.Node) { lost(n, time.Minute) }, "NotUnneededLongEnough", ""},
		"a group at its minimum": {func(in *cluster.Input, n *corev1.Node) {
			in.Groups[0].Min = 2
			in.Pods = append(in.Pods, ct.Running("a", n.Name, "1500m", "256Mi"))
		}, "replace", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := pool(2)
			n := in.Nodes[0]
			lost(n, time.Hour)
			in.Pods = []*corev1.Pod{ct.Running("busy", "node-2", "1900m", "256Mi")}
			tt.edit(&in, n)
			d := plan(t, in, scaledown.Options{})
			got := verdict(d, n.Name)
			if len(d.Replace) > 0 && d.Replace[0].Node == n.Name {
				got = "replace"
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			for _, r := range append(d.Remove, d.Replace...) {
				if !r.Lost || len(r.Pods) > 0 {
					t.Errorf("%+v: a node that cannot be drained is drained", r)
				}
			}
			if tt.kept != "" && (len(d.Lost) != 1 || !strings.Contains(d.Lost[0].Kept, tt.kept)) {
				t.Errorf("kept by %+v, want %q", d.Lost, tt.kept)
			}
		})
	}
}

// Three of four nodes are dead: the last one is the group's minimum, though four
// instances are there.
func TestMinimumCountsWhatIsUsable(t *testing.T) {
	in := pool(4)
	for _, n := range in.Nodes[:3] {
		lost(n, time.Minute)
	}
	last := in.Nodes[3]
	agent(last, "True", "Idle", time.Hour)
	unneeded(last, time.Hour)
	if got := verdict(plan(t, in, scaledown.Options{}), last.Name); got != "NodeGroupMinSizeReached" {
		t.Errorf("the last healthy node: %s", got)
	}
	for _, n := range in.Nodes[:3] {
		lost(n, time.Hour)
	}
	d := plan(t, in, scaledown.Options{})
	if got := removed(d); got != "node-1 node-2 node-3" && len(d.Remove) != 3 || verdict(d, last.Name) == "remove" {
		t.Errorf("removed %s", got)
	}
}

func TestBrake(t *testing.T) {
	for name, tt := range map[string]struct {
		lost, of int
		zone     bool // all that are lost are in one zone
		brake    string
	}{
		"three of four":               {3, 4, false, ""},
		"four of eight":               {4, 8, false, "4 of 8 nodes are not Ready"},
		"four of nine":                {4, 9, false, ""},
		"four of five in one zone":    {4, 10, true, "4 of 5 nodes in zone us-west-2a are not Ready"},
		"four of ten, over all zones": {4, 10, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := pool(tt.of)
			in.Groups[0].Max = tt.of
			for i := range tt.lost {
				at := i
				if tt.zone {
					at = 2 * i // the zones take turns
				}
				lost(in.Nodes[at], time.Hour)
			}
			for _, n := range in.Nodes {
				unneeded(n, 2*time.Hour)
			}
			d := plan(t, in, scaledown.Options{MaxParallel: 100})
			if !strings.HasPrefix(d.Brake, tt.brake) || (d.Brake == "") != (tt.brake == "") {
				t.Errorf("brake %q, want %q", d.Brake, tt.brake)
			}
			if none := len(d.Remove) == 0; none != (tt.brake != "") {
				t.Errorf("removed %q", removed(d))
			}
		})
	}
}

// TestLostWorlds holds random clusters, of which random nodes fell silent with random pods
// on them, to what must be true whatever is there.
func TestLostWorlds(t *testing.T) {
	gone, kept := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		in := randomPool(seed)
		silent := map[string]bool{}
		for i, n := range in.Nodes {
			if r.IntN(3) > 0 {
				continue
			}
			silent[n.Name] = true
			lost(n, time.Duration(r.IntN(40))*time.Minute)
			if r.IntN(5) == 0 {
				agent(n, "False", []string{"HoldFile", "InhibitorHeld"}[r.IntN(2)], time.Hour)
			}
			for j, p := range in.Pods {
				if p.Spec.NodeName == n.Name && (i+j)%2 == 0 {
					ended(time.Duration(r.IntN(60)) * time.Minute)(p)
				}
			}
		}
		d := plan(t, in, scaledown.Options{MaxParallel: 100})
		if why := lostFault(in, d, silent); why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
		gone += len(d.Replace)
		for _, r := range d.Remove {
			if r.Lost {
				gone++
			}
		}
		kept += len(d.Lost)
	}
	if gone < 50 || kept < 2*gone {
		t.Errorf("%d lost nodes removed of %d: the worlds test too little", gone, kept)
	}
}

// runs reports whether a pod is on the node whose end nobody asked for.
func runs(in cluster.Input, n *corev1.Node) bool {
	return slices.ContainsFunc(in.Pods, func(p *corev1.Pod) bool { return p.Spec.NodeName == n.Name && p.DeletionTimestamp == nil })
}

func lostFault(in cluster.Input, d scaledown.Decision, silent map[string]bool) string {
	usable := len(in.Nodes) - len(silent)
	for _, r := range append(d.Remove, d.Replace...) {
		at := 0
		for in.Nodes[at].Name != r.Node {
			at++
		}
		n := in.Nodes[at]
		switch {
		case d.Brake != "":
			return r.Node + " goes while too many are silent"
		case r.Lost != silent[r.Node]:
			return fmt.Sprintf("%s: lost %t, silent %t", r.Node, r.Lost, silent[r.Node])
		case r.Lost && kube.LocalHold(n) != nil:
			return r.Node + " goes though it is held"
		case r.Lost && runs(in, n) && now.Sub(kube.Condition(n, corev1.NodeReady).LastTransitionTime.Time) < 20*time.Minute:
			return r.Node + " goes before its time"
		case !r.Lost:
			usable--
		}
	}
	if minimum := in.Groups[0].Min; usable < minimum && usable < len(in.Nodes)-len(silent) {
		return fmt.Sprintf("%d usable nodes stay, minimum %d", usable, minimum)
	}
	return ""
}
