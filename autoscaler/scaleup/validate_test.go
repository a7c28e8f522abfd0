package scaleup_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/autoscaler/validate"
)

// checked plans, and checks the plan with the scheduler's own plugins.
func checked(t *testing.T, in cluster.Input, o scaleup.Options) scaleup.Decision {
	t.Helper()
	d := plan(t, in, o)
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := validate.Check(ct.Honest(in), validate.Plan{NewNodes: d.NewNodes, Gone: d.Leaving, Placements: d.Placements}, profile, validate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	checkSums(t, in, d)
	return d
}

func checkSums(t *testing.T, in cluster.Input, d scaleup.Decision) {
	t.Helper()
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	planned, seen := map[string]int{}, map[types.NamespacedName]int{}
	for _, n := range d.NewNodes {
		planned[n.Group]++
	}
	for _, inc := range d.Increases {
		g := s.Group(inc.Group)
		if inc.To > g.Max || inc.From != g.Desired || inc.To-inc.From != planned[inc.Group] || inc.To <= inc.From {
			t.Errorf("%s: %d to %d, with max %d, desired %d, %d nodes planned", inc.Group, inc.From, inc.To, g.Max, g.Desired, planned[inc.Group])
		}
		if g.BackedOff(in.Now) {
			t.Errorf("%s grows though it is backed off", inc.Group)
		}
		for _, pod := range inc.Pods {
			seen[pod]++
		}
	}
	for _, r := range slices.Concat(d.Waiting, d.Unhelped) {
		seen[r.Pod]++
		if r.Reason == "" {
			t.Errorf("pod %s has no reason", r.Pod)
		}
	}
	for _, r := range d.Unhelped {
		if len(r.Groups) > 0 && len(r.Groups) != len(in.Groups) {
			t.Errorf("pod %s has the answers of %d groups of %d", r.Pod, len(r.Groups), len(in.Groups))
		}
	}
	for _, pod := range s.Pending() {
		if seen[cluster.Key(pod.Pod)] != 1 {
			t.Errorf("pod %s is named %d times in the plan", pod.Name, seen[cluster.Key(pod.Pod)])
		}
	}
	placed := len(d.Unhelped)
	for _, p := range d.Placements {
		if p.Pod.Spec.NodeName == "" {
			placed++ // the others are those of leaving nodes
		}
	}
	if placed != len(s.Pending()) {
		t.Errorf("%d pods are placed or left over, %d are pending", placed, len(s.Pending()))
	}
}

func TestPlansAreValid(t *testing.T) {
	grown := 0
	for seed := range uint64(300) {
		grown += len(checked(t, ct.Random(seed), scaleup.Options{}).Increases)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if grown < 200 {
		t.Errorf("only %d increases over all workloads: they test too little", grown)
	}
}

// Plans that are sized for the scheduler hold as well and come to rest; a workload of large and small pods gets some more nodes.
func TestPlansAsScheduled(t *testing.T) {
	o := scaleup.Options{AsScheduled: true}
	for seed := range uint64(200) {
		in := ct.Random(seed)
		d := checked(t, in, o)
		next := in
		for round := 0; len(d.Increases) > 0; round++ {
			if round == 4 {
				t.Errorf("still growing in round %d: %s", round, brief(d))
				break
			}
			next = grown(next, d, false)
			d = plan(t, next, o)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	in := workload(1000, 0, 3, nil)
	packed, sized := plan(t, in, scaleup.Options{}), checked(t, in, o)
	if len(sized.NewNodes) <= len(packed.NewNodes) || len(sized.NewNodes) > len(packed.NewNodes)*6/5 {
		t.Errorf("%d nodes are planned for the scheduler, %d packed", len(sized.NewNodes), len(packed.NewNodes))
	}
}

func FuzzPlan(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checked(t, ct.Random(seed), scaleup.Options{}) })
}

// grown is the cluster once AWS has launched what the plan asks for and the nodes
// have joined, the pods still waiting: the first of the two moments at which a
// planner that overshoots asks for more.
func grown(in cluster.Input, d scaleup.Decision, joined bool) cluster.Input {
	out := in
	out.Groups = slices.Clone(in.Groups)
	out.Nodes = slices.Clone(in.Nodes)
	for i := range out.Groups {
		g := &out.Groups[i]
		g.Instances = slices.Clone(g.Instances)
		for _, inc := range d.Increases {
			if inc.Group == g.Name {
				g.Desired = inc.To
			}
		}
		if !joined {
			continue
		}
		for j, n := range d.NewNodes {
			if n.Group == g.Name {
				out.Nodes = append(out.Nodes, ct.Join(g, fmt.Sprintf("i-new%03d", j), n.Zone))
			}
		}
	}
	return out
}

// What a plan asks for is enough: the next plan, with the capacity on its way,
// asks for no more, unless that helps pods that the first has left over.
func TestRest(t *testing.T) {
	plans := 0
	for seed := range uint64(300) {
		in := ct.Random(seed)
		d := plan(t, in, scaleup.Options{})
		if len(d.Increases) == 0 {
			continue
		}
		plans++
		again := plan(t, grown(in, d, false), scaleup.Options{})
		if len(again.Increases) > 0 && len(again.Unhelped) >= len(d.Unhelped) {
			t.Errorf("seed %d: after %s came %s", seed, brief(d), brief(again))
		}
	}
	if plans < 100 {
		t.Errorf("only %d plans grew", plans)
	}
}

// A plan carried out comes to rest: scheduled as planned, no group grows again.
func TestRestWhenScheduled(t *testing.T) {
	for seed := range uint64(200) {
		in := ct.Random(seed)
		for round := 0; ; round++ {
			d := plan(t, in, scaleup.Options{})
			if len(d.Increases) == 0 {
				break
			}
			if round == 12 {
				t.Errorf("seed %d: still growing in round %d: %s", seed, round, brief(d))
				break
			}
			in = carryOut(in, d, round)
		}
	}
}

// carryOut lets the new nodes join and the placed pods run where the plan has
// them.
func carryOut(in cluster.Input, d scaleup.Decision, round int) cluster.Input {
	names := map[string]string{}
	out := in
	out.Groups, out.Nodes = slices.Clone(in.Groups), slices.Clone(in.Nodes)
	for i := range out.Groups {
		g := &out.Groups[i]
		g.Instances = slices.Clone(g.Instances)
		for j, n := range d.NewNodes {
			if n.Group == g.Name {
				g.Desired++
				node := ct.Join(g, fmt.Sprintf("i-r%d-%03d", round, j), n.Zone)
				names[n.Name] = node.Name
				out.Nodes = append(out.Nodes, node)
			}
		}
	}
	at := map[types.UID]string{}
	for _, p := range d.Placements {
		name := p.Node
		if names[name] != "" {
			name = names[name]
		}
		if slices.ContainsFunc(out.Nodes, func(n *corev1.Node) bool { return n.Name == name }) {
			at[p.Pod.UID] = name
		}
	}
	out.Pods = nil
	for _, p := range in.Pods {
		if node := at[p.UID]; node != "" {
			p = p.DeepCopy()
			p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = node, corev1.PodRunning, nil
		}
		out.Pods = append(out.Pods, p)
	}
	return out
}

// Names of things decide nothing but which of equals comes first: with the pods
// renamed in reverse order the same number of each class goes to each group. Of
// pods that share an unbound claim the first by name has it, so these are left out.
func TestPermutation(t *testing.T) {
	for seed := range uint64(100) {
		in := ct.Random(seed)
		if slices.ContainsFunc(in.Pods, sharesClaim) {
			continue
		}
		want := brief(plan(t, in, scaleup.Options{}))
		renamed := in
		renamed.Pods = nil
		for i, p := range in.Pods {
			p = p.DeepCopy()
			p.Name = fmt.Sprintf("z-%03d-%s", len(in.Pods)-i, p.Name)
			renamed.Pods = append(renamed.Pods, p)
		}
		slices.Reverse(renamed.Pods)
		if got := brief(plan(t, renamed, scaleup.Options{})); got != want {
			t.Errorf("seed %d: with other names %s, before %s", seed, got, want)
		}
	}
}

// follows reports whether p's affinity is to pods like q.
func follows(p, q *corev1.Pod) bool {
	terms := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return terms[0].LabelSelector.MatchLabels["app"] == q.Labels["app"]
}

func sharesClaim(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && strings.HasPrefix(v.PersistentVolumeClaim.ClaimName, "late")
	})
}

// One more node never makes a pod unhelpable that could be helped before, unless
// the scheduler's own rules do: a spread constraint sees a new domain, a pod that
// keeps others away goes to the new node, or one that others must follow does.
func TestMoreNodesHelp(t *testing.T) {
	for seed := range uint64(150) {
		in := ct.Random(seed)
		if slices.ContainsFunc(in.Pods, func(p *corev1.Pod) bool {
			a := p.Spec.Affinity
			return len(p.Spec.TopologySpreadConstraints) > 0 || a != nil && (a.PodAntiAffinity != nil || !follows(p, p))
		}) {
			continue
		}
		before := plan(t, in, scaleup.Options{})
		more := in
		more.Groups = slices.Clone(in.Groups)
		g := ct.Group("zz-more", 0, 0, 1, "7800m", "30Gi", "us-west-2a")
		more.Nodes = append(slices.Clone(in.Nodes), ct.Join(&g, "i-more", "us-west-2a"))
		g.Desired = 1
		more.Groups = append(more.Groups, g)
		after := plan(t, more, scaleup.Options{})
		if len(after.Unhelped) > len(before.Unhelped) {
			t.Errorf("seed %d: %s, with one more node %s", seed, brief(before), brief(after))
		}
	}
}

func TestDecisionsAreSmall(t *testing.T) {
	d := plan(t, ct.Random(3), scaleup.Options{})
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"NewNodes", "Placements", "Profile"} {
		if json.Valid(raw) && slices.Contains(keysOf(t, raw), private) {
			t.Errorf("the decision as JSON shows %s", private)
		}
	}
}

func keysOf(t *testing.T, raw []byte) []string {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
