package loop_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/simcluster"
	"github.com/joinery/joinery/lab/worlds"
)

// The invariants: what no world may show.
const (
	boundsKept  = "no group is asked for less than its minimum or more than its maximum"
	pinnedStays = "no pod is moved that must not be, and no instance ended under such"
	emptyEnds   = "no instance is ended under its pods"
	placeFound  = "no pod is evicted without a place"
	noSeeSaw    = "nothing grows that has just shrunk, nor the other way round, without a new fact"
	boughtOnce  = "what is bought in vain is bounded"
	allRuns     = "what can run runs in the end"
	deadGoes    = "what is dead goes in the end"
	idleGoes    = "what is idle goes in the end"
	nothingLeft = "no node is left in the middle of its removal"
	alive       = "the loop goes on"
)

const (
	// vain bounds the instances of a group that are launched on the loop's word or
	// ended by it to be replaced, and run no pod: the first attempt, and one after each
	// pause of 5, 10, 20 and 30 minutes, for each of the zones that a pod may demand.
	vain = 12
	// swing is how soon after growing a group shrinking it is a see-saw.
	swing = 10 * time.Minute
)

// violation is something that no world may show, with what was seen.
type violation struct{ invariant, text string }

// watch looks at a world while it is played.
type watch struct {
	*player
	seen    []violation
	newest  time.Time // of the facts that the loop could not foresee
	groups  map[string]*watched
	initial map[string]bool      // instances that were there from the begin
	idle    map[string]time.Time // instance -> since when it has run nothing
	told    map[string]bool      // invariants with their subjects
	paused  map[string]string    // group -> why it may not grow
}

// watched is a group as it was at the last look.
type watched struct {
	desired      int
	bought       int // instances that the loop asked for
	grew, shrank time.Time
}

func newWatch(p *player) *watch {
	return &watch{player: p, groups: map[string]*watched{}, idle: map[string]time.Time{}, told: map[string]bool{}, paused: map[string]string{}, newest: time.Now()}
}

// violated notes what was seen, once for each subject.
func (w *watch) violated(invariant, subject, format string, args ...any) {
	if w.told[invariant+subject] {
		return
	}
	w.told[invariant+subject] = true
	w.seen = append(w.seen, violation{invariant, w.happened(time.Now()) + ": " + subject + " " + fmt.Sprintf(format, args...)})
}

// fact notes that something happened that the loop could not foresee.
func (w *watch) fact(string) { w.newest = time.Now() }

// people takes in what people have done to groups: it is not the loop's.
func (w *watch) people() {
	for _, g := range w.aws.Groups() {
		if known := w.groups[g.Name]; known != nil {
			known.desired = g.Desired
		}
	}
}

// look takes in what has become of the world since the last look.
func (w *watch) look() {
	if w.initial == nil {
		w.initial = map[string]bool{}
		for id := range w.machines {
			w.initial[id] = true
		}
	}
	w.pauses()
	for _, g := range w.aws.Groups() {
		w.group(g)
	}
	for _, m := range w.machines {
		if m.instance.State != awssim.Running && !m.over {
			m.over = true
			if !m.ours {
				w.fact("an instance ended by itself")
			}
		}
	}
	w.idlers()
}

// calls judges what the loop has asked of AWS since the last look. Nodes of instances that
// it ended are still there.
func (w *watch) calls() {
	for _, c := range w.aws.Calls() {
		if c.Principal == "joinery-controller" && c.Action == "TerminateInstanceInAutoScalingGroup" && c.Error == "" {
			w.terminated(c)
		}
	}
	w.aws.ForgetCalls()
}

// pauses notes when a group or zone may be tried again: that is a fact of its own.
func (w *watch) pauses() {
	d := w.decisions()
	if len(d) == 0 {
		return
	}
	for _, g := range d[0].Groups {
		if was := w.paused[g.Name]; was != g.Blocked && strings.Contains(was, "backed off") {
			w.fact("the end of a pause")
		}
		w.paused[g.Name] = g.Blocked
	}
}

// terminated judges that the loop ended an instance.
func (w *watch) terminated(c awssim.Call) {
	m := w.machines[c.Params["InstanceId"]]
	if m == nil {
		return
	}
	repeated := m.ours
	m.ours = true
	known := w.groups[m.group.Name]
	healthy := m.silent.IsZero() && m.group.Nodes.Able() && !m.joined.IsZero() && !m.deleted
	if c.Params["ShouldDecrementDesiredCapacity"] == "true" && healthy && !repeated {
		if !known.grew.IsZero() && time.Since(known.grew) < swing && w.newest.Before(known.grew) {
			w.violated(noSeeSaw, m.group.Name, "%s was ended, %s after the group grew, and nothing had happened since", m.instance.ID, time.Since(known.grew))
		}
		known.shrank = c.Time
	}
	if c.Params["ShouldDecrementDesiredCapacity"] != "true" && !repeated && m.served.IsZero() {
		known.bought++ // another comes in its place
	}
	if !healthy {
		return
	}
	for _, pod := range w.pods() {
		if pod.Spec.NodeName == m.instance.PrivateDNSName && pod.DeletionTimestamp == nil {
			w.violated(emptyEnds, m.instance.ID, "was ended with pod %s", pod.Name)
		}
	}
}

// group judges how a group has changed.
func (w *watch) group(g awssim.Group) {
	known := w.groups[g.Name]
	if known == nil {
		w.groups[g.Name] = &watched{desired: g.Desired}
		return
	}
	before := known.desired
	known.desired = g.Desired
	switch {
	case g.Desired > before:
		known.bought += g.Desired - before
		if g.Desired > g.Max {
			w.violated(boundsKept, g.Name, "came from %d to %d: at most %d", before, g.Desired, g.Max)
		}
		if !known.shrank.IsZero() && time.Since(known.shrank) < swing && w.newest.Before(known.shrank) {
			w.violated(noSeeSaw, g.Name, "grew from %d to %d, %s after it shrank, and nothing had happened since", before, g.Desired, time.Since(known.shrank))
		}
		known.grew = time.Now()
	case g.Desired < before && g.Desired < g.Min:
		w.violated(boundsKept, g.Name, "came from %d to %d: at least %d", before, g.Desired, g.Min)
	}
	served := 0
	for id, m := range w.machines {
		if m.group.Name == g.Name && !w.initial[id] && !m.served.IsZero() {
			served++
		}
	}
	if n := known.bought - served; n > vain {
		w.violated(boughtOnce, g.Name, "%d instances ran nothing; the nodes are %s", n, w.world.Group(g.Name).Nodes)
	}
}

// idlers remembers since when Ready nodes have run nothing.
func (w *watch) idlers() {
	busy := map[string]bool{}
	for _, pod := range w.pods() {
		busy[pod.Spec.NodeName] = true
	}
	for id, m := range w.machines {
		if idle := m.instance.State == awssim.Running && !m.joined.IsZero() && !m.deleted && !busy[m.instance.PrivateDNSName]; !idle {
			delete(w.idle, id)
		} else if w.idle[id].IsZero() {
			w.idle[id] = time.Now()
		}
	}
}

// runs notes that a pod runs on a node.
func (w *watch) runs(node string) {
	if m := w.machineOf(node); m != nil && m.served.IsZero() {
		m.served = time.Now()
	}
}

// evicted judges an eviction.
func (w *watch) evicted(pod *corev1.Pod) {
	if pod.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false" {
		w.violated(pinnedStays, pod.Name, "was evicted")
	}
}

// replaced judges whether there was a place for the one that comes in the pod's place.
// Others may have come first if something has just happened.
func (w *watch) replaced(pod *corev1.Pod) {
	m := w.machineOf(pod.Spec.NodeName)
	if m == nil || !m.silent.IsZero() || time.Since(w.newest) < 2*time.Minute {
		return
	}
	for _, other := range w.byClass()[pod.Labels[classLabel]] {
		if other.Spec.NodeName == "" && other.DeletionTimestamp == nil {
			w.violated(placeFound, pod.Labels[classLabel], "%s was evicted from %s, and %s waits", pod.Name, pod.Spec.NodeName, other.Name)
			return
		}
	}
}

// atTheEnd judges what the calm has come to.
func (w *watch) atTheEnd() {
	d := w.decisions()
	if len(d) == 0 || time.Since(d[0].At) > 3*time.Minute {
		w.violated(alive, "", "no round for three minutes")
		return
	}
	for _, pod := range w.pods() {
		if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
			continue
		}
		if g := w.helper(&pod); g != "" {
			w.violated(allRuns, pod.Labels[classLabel], "%s waits, and a node of %s would take it; the loop says: %s; %+v", pod.Name, g, w.said(pod.Name), d[0].Groups)
		}
	}
	for _, n := range w.nodes() {
		if m := w.machineOf(n.Name); kube.Marked(&n) && m != nil && m.silent.IsZero() && m.group.Nodes.Able() {
			w.violated(nothingLeft, n.Name, "has the taints %v", n.Spec.Taints)
		}
	}
	w.deadAtTheEnd()
	w.idleAtTheEnd()
}

// deadAtTheEnd finds nodes whose kubelet has long been dead.
func (w *watch) deadAtTheEnd() {
	for id, m := range w.machines {
		if m.instance.State == awssim.Running && !m.silent.IsZero() && !m.deleted && time.Since(m.silent) > 30*time.Minute && w.decisions()[0].Brake == "" {
			w.violated(deadGoes, m.group.Name, "%s has been silent for %s; the loop says: %s", id, time.Since(m.silent).Round(time.Minute), w.needed(id))
		}
	}
}

// said is what the last round said about a pod.
func (w *watch) said(pod string) string {
	d := w.decisions()[0]
	for _, s := range append(d.Unhelped, d.Waiting...) {
		if strings.HasSuffix(s.Name, "/"+pod) {
			return s.Reason
		}
	}
	return "nothing"
}

// helper names a group of which one more node would surely run the pod; empty for none.
func (w *watch) helper(pod *corev1.Pod) string {
	class := worlds.Class{}
	for _, c := range w.world.Classes {
		if c.Name == pod.Labels[classLabel] {
			class = c
		}
	}
	for _, spec := range w.world.Groups {
		g, err := w.aws.Group(spec.Name)
		w.ok(err)
		if !spec.Nodes.Able() || len(g.Members) >= g.Max || g.Desired >= g.Max {
			continue
		}
		// Which of several zones is next is Auto Scaling's to choose.
		if !slices.ContainsFunc(emptiest(spec, g), func(zone string) bool { return !w.fresh(spec, zone).fits(class, pod) }) {
			return spec.Name
		}
	}
	return ""
}

// emptiest are the zones of a group with the fewest instances, where Auto Scaling
// launches the next one.
func emptiest(spec worlds.Group, g awssim.Group) []string {
	count := map[string]int{}
	for _, m := range g.Members {
		count[m.Zone]++
	}
	least := slices.MinFunc(spec.Zones, func(a, b string) int { return count[a] - count[b] })
	return slices.DeleteFunc(slices.Clone(spec.Zones), func(zone string) bool { return count[zone] > count[least] })
}

// fresh is a new node of a group as the scheduler will see it in the end.
func (w *watch) fresh(g worlds.Group, zone string) *room {
	size := map[string][2]int{"t3.medium": {2, 4096}, "m5.large": {2, 8192}, "m5.xlarge": {4, 16384}, "c5.xlarge": {4, 8192}}[g.Type]
	n := simcluster.NodeOf(awssim.Instance{VCPUs: size[0], MemoryMiB: size[1], Zone: zone})
	n.Labels[corev1.LabelTopologyZone] = zone
	if g.Tainted {
		n.Spec.Taints = []corev1.Taint{{Key: worlds.Dedicated, Value: g.Name, Effect: corev1.TaintEffectNoSchedule}}
	}
	w.shape(n, &machine{group: g, joined: time.Now().Add(-time.Hour), instance: awssim.Instance{Zone: zone}})
	return &room{n, n.Status.Allocatable.DeepCopy(), map[string]int{}}
}

// idleAtTheEnd finds nodes that have long run nothing, beyond their group's minimum.
func (w *watch) idleAtTheEnd() {
	for _, spec := range w.world.Groups {
		g, err := w.aws.Group(spec.Name)
		w.ok(err)
		if !spec.Nodes.Able() {
			continue
		}
		for _, member := range g.Members {
			since := w.idle[member.InstanceID]
			if len(g.Members) > g.Min && !since.IsZero() && time.Since(since) > 30*time.Minute {
				w.violated(idleGoes, g.Name, "%s has run nothing for %s, and %d of %d instances have to stay; the loop says: %s", member.InstanceID, time.Since(since).Round(time.Minute), g.Min, len(g.Members), w.needed(member.InstanceID))
			}
		}
	}
}

// needed is what the last round said about the node of an instance.
func (w *watch) needed(id string) string {
	d := w.decisions()[0]
	for _, s := range append(d.Needed, d.Excluded...) {
		if s.Name == w.machines[id].instance.PrivateDNSName {
			return s.Reason
		}
	}
	return fmt.Sprintf("nothing; %s %v", d.Brake, d.Errors)
}
