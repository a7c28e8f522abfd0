// Package report keeps the agent's word about its own node fresh: the condition
// joinery.dev/ScaleDownReady says whether the node may go and why not, and an
// annotation holds what is known about the node and how it came up. Both are
// written with the kubelet's own credentials, which are good for this one Node.
package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// Holds are what keeps the node by the will of local software, by name.
type Holds struct {
	// Inhibitors are the systemd inhibitor locks that block a shutdown.
	Inhibitors []string
	// Files are those in the directory of hold files.
	Files []string
}

// with returns the holds of both.
func (h Holds) with(more Holds) Holds {
	union := func(a, b []string) []string {
		all := slices.Concat(a, b)
		slices.Sort(all)
		return slices.Compact(all)
	}
	return Holds{Inhibitors: union(h.Inhibitors, more.Inhibitors), Files: union(h.Files, more.Files)}
}

// names returns all holds as the node report lists them, sorted.
func (h Holds) names() []string {
	var names []string
	for _, i := range h.Inhibitors {
		names = append(names, v1alpha1.InhibitorHold+i)
	}
	for _, f := range h.Files {
		names = append(names, v1alpha1.FileHold+f)
	}
	slices.Sort(names)
	return names
}

// Verdict is what the condition says.
type Verdict struct {
	Reason  v1alpha1.ReadyReason
	Message string
}

// Decide says whether a node may go at now, from the Node and its pods. A nil Node
// counts as not Ready.
//
// Every fact counts by itself: the reason is that of the weightiest one, and the
// message adds all of them up. What holds the node outweighs the rest, so that a hold is
// never lost to a fact that ends by itself, such as a kubelet that stopped.
func Decide(node *corev1.Node, pods []*corev1.Pod, holds Holds, now time.Time) Verdict {
	facts := holds.facts()
	if s := state(node, pods, now); len(facts) == 0 || !s.Reason.Ready() {
		facts = append(facts, s)
	}
	return sum(facts...)
}

// facts returns a Verdict for each kind of hold that there is, the weightiest first.
func (h Holds) facts() []Verdict {
	var facts []Verdict
	if len(h.Inhibitors) > 0 {
		facts = append(facts, Verdict{v1alpha1.InhibitorHeld, list("inhibitor lock", h.Inhibitors)})
	}
	if len(h.Files) > 0 {
		facts = append(facts, Verdict{v1alpha1.HoldFile, list("hold file", h.Files)})
	}
	return facts
}

// sum returns the reason of the first fact, with what all of them say.
func sum(facts ...Verdict) Verdict {
	messages := make([]string, 0, len(facts))
	for _, f := range facts {
		messages = append(messages, f.Message)
	}
	return Verdict{facts[0].Reason, strings.Join(messages, "; ")}
}

// state returns how the node is, whatever holds it. One that is not Ready is never idle:
// its kubelet may run what the API server does not know of yet.
func state(node *corev1.Node, pods []*corev1.Pod, now time.Time) Verdict {
	if !kube.KubeletReady(node) {
		return Verdict{v1alpha1.Joining, "the node is not Ready"}
	}
	names, going := moving(pods, now), kube.Marked(node)
	switch {
	case going && len(names) > 0:
		return Verdict{v1alpha1.Draining, list("pod", names) + " left"}
	case going:
		return Verdict{v1alpha1.Drained, "no pods left"}
	case len(names) > 0:
		return Verdict{v1alpha1.PodsRunning, list("pod", names)}
	}
	return Verdict{v1alpha1.Idle, "nothing runs but DaemonSet and mirror pods"}
}

// moving returns the names of the pods that have to leave before the node may go,
// sorted.
func moving(pods []*corev1.Pod, now time.Time) []string {
	var names []string
	for _, p := range pods {
		if kube.NeedsEviction(p, now) {
			names = append(names, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// maxListed bounds a message: a node may run hundreds of pods.
const maxListed = 5

func list(what string, names []string) string {
	text := fmt.Sprintf("%d %s", len(names), what)
	if len(names) != 1 {
		text += "s"
	}
	shown := names[:min(len(names), maxListed)]
	text += ": " + strings.Join(shown, ", ")
	if len(shown) < len(names) {
		text += ", …"
	}
	return text
}
