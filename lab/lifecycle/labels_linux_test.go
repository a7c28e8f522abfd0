package lifecycle_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A Node gets the labels that its group declares and its kubelet may not set, from
// the controller; and no group makes a master.
func TestLabelsOfTheGroup(t *testing.T) {
	s := open(t)
	i := s.launch(labelled, 1)[0]
	s.awaitReady(i)
	s.await("its labels are there", 10*time.Second, func(context.Context) (string, bool) {
		labels := s.node(i).Labels
		_, role := labels[roleLabel]
		return fmt.Sprint(labels), role && labels[tierLabel] == "gold"
	})
	n := s.node(i)
	if n.Labels[groupLabel] != labelled {
		t.Errorf("the kubelet's own label is %q", n.Labels[groupLabel])
	}
	if _, master := n.Labels[masterLabel]; master {
		t.Error("the group's tag made it a master")
	}
	for label, want := range map[string]string{roleLabel: "joinery-controller", tierLabel: "joinery-controller", groupLabel: "kubelet"} {
		if got := owners(n, label); !slices.Equal(got, []string{want}) {
			t.Errorf("label %s was set by %q: expected %s", label, got, want)
		}
	}
	flags, err := s.machine(i).Exec(t.Context(), "sh", "-c", "tr '\\0' ' ' < /proc/$(pidof kubelet)/cmdline")
	if err != nil || !strings.Contains(string(flags), groupLabel+"="+labelled) || strings.Contains(string(flags), roleLabel) || strings.Contains(string(flags), tierLabel) {
		t.Errorf("the kubelet runs as %s (%v)", flags, err)
	}
	s.told(corev1.EventTypeNormal, "NodeLabelled", "Node "+i.PrivateDNSName, roleLabel, tierLabel+"=gold")
	s.told(corev1.EventTypeWarning, "LabelRefused", "Node "+i.PrivateDNSName, masterLabel)
}

// owners are the programs that set a label, as the API server has seen them.
func owners(n *corev1.Node, label string) []string {
	var out []string
	for _, f := range n.ManagedFields {
		if f.FieldsV1 != nil && strings.Contains(f.FieldsV1.GetRawString(), `"f:`+label+`"`) {
			out = append(out, f.Manager)
		}
	}
	return out
}
