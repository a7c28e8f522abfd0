package asg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// clientOf is a client that knows one group of GPU nodes.
func clientOf(n int) (*Client, cluster.Group, *Sight) {
	g, known, nodes := gpuGroup(n)
	c := New(Options{})
	c.groups, c.known[g.Name] = []cluster.Group{g}, known
	s := Look(nodes, nil, bound(nodes)).With(func(string) []cluster.NodePod {
		return []cluster.NodePod{{Namespace: "kube-system", Name: "proxy", Requests: cluster.Amounts{MilliCPU: 300, Pods: 1}, Ports: []cluster.HostPort{{Port: 443}}}}
	})
	return c, g, s
}

func described(t *cluster.Template) string {
	a := cluster.AmountsOf(t.Allocatable)
	return fmt.Sprintf("%+v %v %v %v", a, t.Labels, t.AttachLimits, t.NodePods)
}

// What was written down by one client means the same to the next one.
func TestLearnedIsRecalled(t *testing.T) {
	for n := 1; n <= 3; n++ {
		before, g, sight := clientOf(n)
		want := described(sight.Template(g, before.Known(g.Name)))
		text, err := before.Learned(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		after, _, _ := clientOf(0)
		if err := after.Recall(text); err != nil {
			t.Fatal(err)
		}
		nobody := Look(nil, nil, nil)
		if got := described(nobody.Template(g, after.Known(g.Name))); got != want {
			t.Errorf("recalled of %d nodes: %s\nwant %s", n, got, want)
		}
		if again, err := after.Learned(1 << 20); err != nil || again != text {
			t.Errorf("written down again: %v %s\nwant %s", err, again, text)
		}
		g.LaunchTemplateVersion = "2"
		if got := nobody.Template(g, after.Known(g.Name)); got != g.Template {
			t.Errorf("of another version: %s", described(got))
		}
	}
}

// What this leader saw itself is not overwritten by what an earlier one did, and what an
// earlier one saw of a group whose template is unknown is passed on.
func TestRecalledIsOlder(t *testing.T) {
	before, g, sight := clientOf(2)
	sight.Template(g, before.Known(g.Name))
	text, err := before.Learned(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	after, _, _ := clientOf(2)
	_, _, nodes := gpuGroup(2)
	for _, n := range nodes {
		n.Labels["seen"] = "now"
	}
	want := described(Look(nodes, nil, bound(nodes)).Template(g, after.Known(g.Name)))
	if err := after.Recall(text); err != nil {
		t.Fatal(err)
	}
	if got := described(Look(nil, nil, nil).Template(g, after.Known(g.Name))); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	blind := New(Options{})
	blind.groups = []cluster.Group{g}
	if err := blind.Recall(text); err != nil {
		t.Fatal(err)
	}
	if got, err := blind.Learned(1 << 20); err != nil || got != text {
		t.Errorf("passed on: %v %s", err, got)
	}
}

// The same is not a change, and what is written down has a bound.
func TestLearnedIsBounded(t *testing.T) {
	c, g, sight := clientOf(2)
	for range 3 {
		sight.Template(g, c.Known(g.Name))
	}
	if n := c.Changes(); n != 1 {
		t.Errorf("%d changes, want 1", n)
	}
	whole, err := c.Learned(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for most := range len(whole) + 1 {
		text, err := c.Learned(most)
		if err != nil || len(text) > max(most, len("{}")) {
			t.Fatalf("%d bytes for %d: %v", len(text), most, err)
		}
	}
	if err := c.Recall("{broken"); err == nil || !strings.HasPrefix(err.Error(), "read what nodes told") {
		t.Errorf("broken text: %v", err)
	}
}
