package loop_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// lie changes what a node says of itself. false says that it claims to be something
// else than its own instance, so that it must not count as that.
type lie func(r *rand.Rand, n *corev1.Node, neighbour awssim.Instance) (own bool)

var worldLies = []lie{
	func(_ *rand.Rand, n *corev1.Node, neighbour awssim.Instance) bool {
		n.Spec.ProviderID = "aws:///" + neighbour.Zone + "/" + neighbour.ID
		return false
	},
	func(_ *rand.Rand, n *corev1.Node, neighbour awssim.Instance) bool {
		n.Spec.ProviderID = "aws://" + neighbour.Zone + "/" + neighbour.ID
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: neighbour.PrivateIP}}
		return false
	},
	func(*rand.Rand, *corev1.Node, awssim.Instance) bool { return true }, // idles beside its pods only
	func(_ *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Spec.ProviderID = "aws:///us-west-2a/i-0123456789abcdef0"
		return false
	},
	func(_ *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Spec.ProviderID = ""
		return true
	},
	func(_ *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Spec.ProviderID = "gce://project/zone/name"
		return false
	},
	func(_ *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("10m"), "memory": resource.MustParse("1Mi"), "pods": resource.MustParse("1")}
		return true
	},
	func(r *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("900"), "memory": resource.MustParse("9Ti"), "pods": resource.MustParse("9999")}
		n.Status.Allocatable["evil.example/unicorn"] = *resource.NewQuantity(1+r.Int64N(9), resource.DecimalSI)
		n.Status.Capacity = n.Status.Allocatable.DeepCopy()
		return true
	},
	func(_ *rand.Rand, n *corev1.Node, _ awssim.Instance) bool {
		n.Labels = map[string]string{"evil.example/label": "yes"}
		return true
	},
}

// character is what becomes of one of the first nodes of a world.
type character struct {
	// liar: it lies, claims: and claims to be something else.
	liar, claims bool
	pinned       bool // a pod on it must not be evicted
	pods         int
}

// liars is a world: a group whose first nodes are as the seed has them, and a test
// that plays scheduler, kubelets, agents and janitor.
type liars struct {
	*fixture
	r      *rand.Rand
	first  map[string]character // instance id -> what it is
	honest bool                 // the liars' nodes do not register at all
	peak   int                  // the largest desired capacity
}

// populate makes the first nodes.
func (w *liars) populate() {
	w.t.Helper()
	all := w.running("workers")
	for i, in := range all {
		c := character{liar: w.r.IntN(3) == 0, pinned: w.r.IntN(4) == 0, pods: w.r.IntN(4)}
		tell, neighbour := worldLies[w.r.IntN(len(worldLies))], all[(i+1)%len(all)]
		idles := c.pods == 0 || c.liar && w.r.IntN(2) == 0
		n := simcluster.NodeOf(in)
		if c.liar {
			c.claims = !tell(w.r, n, neighbour)
		}
		if idles {
			idle(n)
		}
		w.first[in.ID] = c
		if c.liar && w.honest {
			continue
		}
		w.register(n)
		for j := range c.pods {
			w.runOn(n.Name, fmt.Sprintf("first-%d-%d", i, j), "400m", c.pinned && j == 0)
		}
		if c.pinned && c.pods == 0 {
			w.runOn(n.Name, fmt.Sprintf("first-%d-pinned", i), "100m", true)
		}
	}
}

// play lets half a minute pass: instances that run join, nodes of ended ones go, the
// scheduler places what fits by what the nodes report, and the agents report.
func (w *liars) play() {
	w.t.Helper()
	bubble.Sleep(30 * time.Second)
	w.peak = max(w.peak, w.desired("workers"))
	for _, in := range w.running("workers") {
		if _, first := w.first[in.ID]; first {
			continue
		}
		if _, err := w.kube.CoreV1().Nodes().Get(w.t.Context(), in.PrivateDNSName, metav1.GetOptions{}); err != nil {
			w.register(simcluster.NodeOf(in))
		}
	}
	w.idleNodes()
	w.place()
}

// place binds every pending pod to the first node that has room by its own word.
func (w *liars) place() {
	w.t.Helper()
	pods, err := w.kube.CoreV1().Pods("default").List(w.t.Context(), metav1.ListOptions{})
	w.ok(err)
	free := map[string]int64{}
	for _, n := range w.nodes() {
		if !n.Spec.Unschedulable && len(n.Spec.Taints) == 0 {
			free[n.Name] = n.Status.Allocatable.Cpu().MilliValue()
		}
	}
	for _, p := range pods.Items {
		free[p.Spec.NodeName] -= p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue()
	}
	for _, p := range pods.Items {
		if p.Spec.NodeName != "" {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(free)) {
			if need := p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue(); name != "" && free[name] >= need {
				free[name] -= need
				p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = name, corev1.PodRunning, nil
				w.ok(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), &p, "default"))
				break
			}
		}
	}
}

// liveWithLiars plays the world of a seed for eleven minutes, with the liars' nodes or without.
func liveWithLiars(t *testing.T, seed uint64, honest bool) *liars {
	w := &liars{
		fixture: newFixtureWith(t, &awssim.World{Seed: seed}, "resync: 30s, provisionTimeout: 4m, scaleDown: {drainTimeout: 1m, unneededTime: 2m, delayAfterAdd: 1m}"), r: rand.New(rand.NewPCG(seed, 9)), first: map[string]character{}, honest: honest,
	}
	size := 2 + w.r.IntN(5)
	w.group("workers", w.r.IntN(2), size)
	w.peak = size
	w.populate()
	defer w.run()()
	bubble.Sleep(time.Minute)
	w.pend(w.r.IntN(5), "app", "700m", "128Mi")
	for range 20 {
		w.play()
	}
	w.judge()
	return w
}

// judge holds what was done to the first instances against what they were.
func (w *liars) judge() {
	w.t.Helper()
	for id, c := range w.first {
		if !w.ended(id) {
			continue
		}
		// A node that is its instance and does work that cannot move stays, whatever
		// it or another says.
		if mine := !c.claims && (!c.liar || !w.honest); mine && c.pinned {
			w.t.Errorf("instance %s (%+v) was ended though its node does work that must not move", id, c)
		}
	}
	for _, in := range w.running("workers") {
		n, err := w.kube.CoreV1().Nodes().Get(w.t.Context(), in.PrivateDNSName, metav1.GetOptions{})
		if c, first := w.first[in.ID]; first && err == nil && c.claims {
			w.t.Errorf("instance %s, whose node claims %s, was not replaced", in.ID, n.Spec.ProviderID)
		}
	}
}

// A third of the nodes lie at random. No instance is ended because of another node's
// word, no node with work that must not move goes, and the group stays within what it
// would have had if the liars had never joined, plus one.
func TestLiarWorlds(t *testing.T) {
	lied, ended := 0, 0
	for seed := range uint64(liarWorlds) {
		synctest.Test(t, func(t *testing.T) {
			without, with := liveWithLiars(t, seed, true), liveWithLiars(t, seed, false)
			if with.peak > without.peak+1 {
				t.Errorf("desired capacity came to %d: without the liars to %d", with.peak, without.peak)
			}
			for id, c := range with.first {
				if c.liar {
					lied++
				}
				if with.ended(id) {
					ended++
				}
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d nodes lied, %d instances were ended", lied, ended)
	if lied < liarWorlds || ended < liarWorlds {
		t.Errorf("only %d nodes lied, and %d instances were ended: they test too little", lied, ended)
	}
}
