package expectation

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/kube"
)

// shortfall says what a node lacks of what its group's template promises.
func shortfall(t *cluster.Template, st *cluster.NodeState) string {
	if t == nil {
		return "it cannot be compared with the group's template"
	}
	lacks := slices.Concat(lesser(t, st), unlabelled(t, st), tainted(t, st))
	if len(lacks) == 0 {
		return "it has all that its group promises"
	}
	return "it has " + strings.Join(lacks, ", ")
}

func lesser(t *cluster.Template, st *cluster.NodeState) (out []string) {
	for _, name := range sortedNames(t.Allocatable) {
		want, have := t.Allocatable[name], st.Node().Status.Allocatable[name]
		if have.Cmp(want) < 0 {
			out = append(out, fmt.Sprintf("%s %s and not %s", name, have.String(), want.String()))
		}
	}
	return out
}

func unlabelled(t *cluster.Template, st *cluster.NodeState) (out []string) {
	for key, value := range t.Labels {
		if have, ok := st.Node().Labels[key]; !ok {
			out = append(out, "no label "+key)
		} else if have != value {
			out = append(out, fmt.Sprintf("label %s=%s and not %s", key, have, value))
		}
	}
	slices.Sort(out)
	return out
}

func tainted(t *cluster.Template, st *cluster.NodeState) (out []string) {
	for _, taint := range st.Node().Spec.Taints {
		expected := slices.ContainsFunc(t.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&taint) && o.Value == taint.Value })
		if !expected && !kube.StartupTaint(taint) {
			out = append(out, "taint "+taint.ToString())
		}
	}
	return out
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
