package validate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
)

func TestProblems(t *testing.T) {
	tests := []struct {
		name string
		edit func(s *scene)
		want []string
	}{
		{"nothing to do", func(*scene) {}, nil},
		{"a new node of no group", func(s *scene) {
			s.plan.NewNodes = []cluster.NewNode{{Name: "new", Group: "other"}}
		}, []string{`node new: the new node is of group "other", which does not exist`}},
		{"a new node without template", func(s *scene) {
			s.group().Template, s.group().TemplateError = nil, errors.New("image gone")
			s.grow(zoneA, "new")
		}, []string{`node new: the new node is of group "workers", which has no template: image gone`}},
		{"a new node in another zone", func(s *scene) { s.grow("us-west-2c", "new") },
			[]string{`node new: the new node is in zone "us-west-2c"`}},
		{"a new node of a taken name", func(s *scene) { s.grow(zoneA, "node-a", "new", "new"); s.group().Max = 9 },
			[]string{"node node-a: the new node has the name of another", "node new: the new node has the name of another"}},
		{"more nodes than the maximum", func(s *scene) { s.grow(zoneA, "new-1", "new-2", "new-3") },
			[]string{`group "workers" of desired size 2 would grow by 3 nodes beyond its maximum of 4`}},
		{"as many nodes as the maximum", func(s *scene) { s.grow(zoneA, "new-1", "new-2") }, nil},
		{"fewer nodes than the minimum", func(s *scene) { s.plan.Removed = []string{"node-a", "node-b"} },
			[]string{`group "workers" of desired size 2 would shrink by 2 nodes below its minimum of 1`}},
		{"as few nodes as the minimum", func(s *scene) { s.plan.Removed = []string{"node-a"} }, nil},
		{"an instance beyond the desired size", func(s *scene) {
			s.group().Min, s.group().Desired = 1, 1
			s.protect()
			s.plan.Removed = []string{"node-a"}
		}, nil},
		{"all instances of which one is beyond it", func(s *scene) {
			s.group().Min, s.group().Desired = 1, 1
			s.protect()
			s.plan.Removed = []string{"node-a", "node-b"}
		}, []string{`group "workers" of desired size 1 would shrink by 2 nodes below its minimum of 1`}},
		{"a group that is out of bounds already", func(s *scene) { s.group().Min, s.group().Max = 3, 1 }, nil},
		{"a removal of what is not there", func(s *scene) { s.plan.Removed = []string{"node-c"} },
			[]string{"node node-c: the plan removes a node that does not exist"}},
		{"a removal done twice", func(s *scene) {
			s.run(ct.Running("r", "node-a", "1", "1Gi"))
			s.plan.Removed = []string{"node-a", "node-a"}
		}, []string{"node node-a: the plan removes the node twice", "pod default/r: node node-a: the plan removes the node and has no other place"}},
		{"a removal of a node of no group", func(s *scene) {
			s.in.Nodes = append(s.in.Nodes, s.group().Template.Node("control", zoneA))
			s.plan.Removed = []string{"control"}
		}, []string{"node control: the plan removes a node that is of no group"}},
		{"a place on no node", func(s *scene) { s.place(small("p"), "node-c") },
			[]string{"pod default/p: node node-c: the node does not exist"}},
		{"a place on a removed node", func(s *scene) { s.plan.Removed = []string{"node-a"}; s.place(small("p"), "node-a") },
			[]string{"pod default/p: node node-a: the plan removes the node"}},
		{"a place on an unusable node", func(s *scene) {
			now := metav1.Now()
			s.nodeA().DeletionTimestamp = &now
			s.place(small("p"), "node-a")
		}, []string{"pod default/p: node node-a: the node is unusable: the Node is being deleted"}},
		{"a preempting pod on an unusable node", func(s *scene) {
			now := metav1.Now()
			s.nodeA().DeletionTimestamp = &now
			s.place(small("p", nominated("node-a")), "node-a")
		}, []string{"pod default/p: node node-a: the node is unusable"}},
		{"a pod placed twice", func(s *scene) { p := small("p"); s.place(p, "node-a"); s.move(p, "node-b") },
			[]string{"pod default/p: node node-b: the plan places the pod twice"}},
		{"a pod that is not there", func(s *scene) { s.move(small("p"), "node-a") },
			[]string{"pod default/p: node node-a: the plan places a pod that does not exist"}},
		{"a pod of another uid", func(s *scene) {
			s.run(small("p"))
			s.move(small("p", func(p *corev1.Pod) { p.UID = "another" }), "node-a")
		}, []string{"pod default/p: node node-a: the plan places a pod that does not exist"}},
		{"no pod at all", func(s *scene) { s.move(nil, "node-a") },
			[]string{"node node-a: the plan places a pod that does not exist"}},
		{"a pod that has a node", func(s *scene) { s.place(ct.Running("r", "node-b", "1", "1Gi"), "node-a") },
			[]string{"pod default/r: node node-a: the pod has a node already: node-b"}},
		{"a pod that is ending", func(s *scene) { s.place(small("p", ending), "node-a") },
			[]string{"pod default/p: node node-a: the pod has ended or is ending"}},
		{"a pod that has ended", func(s *scene) {
			s.place(small("p", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), "node-a")
		}, []string{"pod default/p: node node-a: the pod has ended or is ending"}},
		{"a gated pod", func(s *scene) {
			s.place(small("p", func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} }), "node-a")
		}, []string{"pod default/p: node node-a: the pod is gated"}},
		{"a pod with a resource claim", func(s *scene) {
			s.place(small("p", func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }), "node-a")
		}, []string{"pod default/p: node node-a: dynamic resource claims are not simulated"}},
		{"a pod of a gang", func(s *scene) {
			s.place(small("p", func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{} }), "node-a")
		}, []string{"pod default/p: node node-a: gangs are not simulated"}},
		{"the plan's copy of a pod is not believed", func(s *scene) {
			s.run(ct.Pending("p", "3", "1Gi"))
			s.move(small("p"), "node-a")
		}, []string{"pod default/p: node node-a: NodeResourcesFit: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			tt.edit(s)
			expect(t, s.check(t, validate.Options{}), tt.want)
		})
	}
}

func TestPodsOfRemovedNodes(t *testing.T) {
	const left = "pod default/r: node node-a: the plan removes the node and has no other place for the pod"
	ended := ct.Running("r", "node-a", "1", "1Gi")
	ended.Status.Phase = corev1.PodSucceeded
	tests := []struct {
		name string
		pod  *corev1.Pod
		want []string
	}{
		{"a pod", ct.Running("r", "node-a", "1", "1Gi"), []string{left}},
		{"a pod without controller", ct.Running("r", "node-a", "1", "1Gi", func(p *corev1.Pod) { p.OwnerReferences = nil }), []string{left}},
		{"a daemon", ct.Running("r", "node-a", "1", "1Gi", ct.OwnedBy("DaemonSet", "ds")), nil},
		{"a pod that is called a daemon", ct.Running("r", "node-a", "1", "1Gi", ct.Annotation("cluster-autoscaler.kubernetes.io/daemonset-pod", "true")), nil},
		{"a mirror pod", ct.Running("r", "node-a", "1", "1Gi", ct.Annotation(corev1.MirrorPodAnnotationKey, "x")), nil},
		{"an ended pod", ended, nil},
		{"an ending pod", ct.Running("r", "node-a", "1", "1Gi", ending), nil},
		{"an expendable pod", ct.Running("r", "node-a", "1", "1Gi", ct.Priority(cluster.ExpendablePriority-1)), nil},
		{"a pod of the lowest priority that counts", ct.Running("r", "node-a", "1", "1Gi", ct.Priority(cluster.ExpendablePriority)), []string{left}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.run(tt.pod)
			s.plan.Removed = []string{"node-a"}
			expect(t, s.check(t, validate.Options{}), tt.want)
		})
	}
}

func TestReplacement(t *testing.T) {
	tests := []struct {
		name string
		edit func(s *scene)
		want []string
	}{
		{"a pod moves to a node with room", func(s *scene) {
			r := ct.Running("r", "node-a", "1", "1Gi")
			s.run(r)
			s.move(r, "node-b")
		}, nil},
		{"a pod moves to a node without room", func(s *scene) {
			r := ct.Running("r", "node-a", "1", "1Gi")
			s.run(r, ct.Running("b", "node-b", "1500m", "1Gi"))
			s.move(r, "node-b")
		}, []string{"pod default/r: node node-b: NodeResourcesFit: "}},
		{"a pod moves away from its volume", func(s *scene) {
			s.volume("data", zoneA)
			r := ct.Running("r", "node-a", "1", "1Gi", ct.Uses("data"))
			s.run(r)
			s.move(r, "node-b")
		}, []string{"pod default/r: node node-b: VolumeBinding: "}},
		{"the removed node is a domain for spread until it is gone", func(s *scene) {
			r := ct.Running("r", "node-a", "1", "1Gi", ct.Spread(corev1.LabelHostname, "web"))
			s.run(r, ct.Running("b", "node-b", "1", "1Gi", app("web")))
			s.move(r, "node-b")
		}, []string{"pod default/r: node node-b: PodTopologySpread: "}},
		{"the removed node is no domain where taints are honored", func(s *scene) {
			honor := corev1.NodeInclusionPolicyHonor
			r := ct.Running("r", "node-a", "1", "1Gi", ct.Spread(corev1.LabelHostname, "web"))
			r.Spec.TopologySpreadConstraints[0].NodeTaintsPolicy = &honor
			s.run(r, ct.Running("b", "node-b", "1", "1Gi", app("web")))
			s.move(r, "node-b")
		}, nil},
		{"the pods of a removed node keep nobody away", func(s *scene) {
			s.run(ct.Running("r", "node-a", "1", "1Gi", ct.AntiAffinity(corev1.LabelTopologyRegion, "db"), ct.Priority(-20)))
			s.place(small("p", app("db")), "node-b")
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene()
			s.plan.Removed = []string{"node-a"}
			tt.edit(s)
			expect(t, s.check(t, validate.Options{}), tt.want)
		})
	}
}

// TestRefusedPodsAreTriedAgain has a chain of pods, each of which wants to be
// with the one that is placed after it.
func TestRefusedPodsAreTriedAgain(t *testing.T) {
	s := newScene()
	s.place(small("first", ct.Affinity(corev1.LabelHostname, "second"), app("first")), "node-a")
	s.place(small("second", ct.Affinity(corev1.LabelHostname, "third"), app("second")), "node-a")
	s.place(small("third", app("third")), "node-a")
	expect(t, s.check(t, validate.Options{}), nil)

	s.plan.Placements = s.plan.Placements[:2]
	expect(t, s.check(t, validate.Options{}), []string{
		"pod default/first: node node-a: InterPodAffinity: ", "pod default/second: node node-a: InterPodAffinity: ",
	})
}

func TestMaxPlacements(t *testing.T) {
	s := newScene()
	s.run(ct.Running("r", "node-b", "1", "1Gi"))
	s.plan.Removed = []string{"node-b"}
	for _, name := range []string{"p", "q", "x"} {
		s.place(ct.Pending(name, "1500m", "1Gi"), "node-a")
	}
	s.place(small("lost"), "node-c")
	whole := []string{
		"pod default/lost: node node-c: the node does not exist",
		"pod default/r: node node-b: the plan removes the node and has no other place",
	}
	refused := func(pods ...string) []string {
		out := slices.Clone(whole)
		for _, p := range pods {
			out = append(out, "pod default/"+p+": node node-a: NodeResourcesFit: ")
		}
		return out
	}
	expect(t, s.check(t, validate.Options{MaxPlacements: 1}), refused())
	expect(t, s.check(t, validate.Options{MaxPlacements: 2}), refused("q"))
	expect(t, s.check(t, validate.Options{}), refused("q", "x"))
}

// TestProfileDecides has the validator follow the cluster's own profile.
func TestProfileDecides(t *testing.T) {
	const without = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" +
		"profiles: [{plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}, {name: VolumeBinding}]}}}]"
	profile, err := fit.ReadProfile([]byte(without), "")
	if err != nil {
		t.Fatal(err)
	}
	s := newScene()
	s.volume("data", zoneB)
	s.place(ct.Pending("p", "64", "1Gi", ct.Uses("data")), "node-a")
	problems, err := validate.Check(ct.Honest(s.in), s.plan, profile, validate.Options{})
	if err != nil || len(problems) > 0 {
		t.Errorf("problems %v, error %v; the plugins that would refuse are disabled", problems, err)
	}
}

func TestCheckOfNoPicture(t *testing.T) {
	s := newScene()
	s.in.Nodes = append(s.in.Nodes, s.nodeA())
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := validate.Check(ct.Honest(s.in), s.plan, profile, validate.Options{}); err == nil || !strings.HasPrefix(err.Error(), "validate plan: ") {
		t.Errorf("error %v for a node that stands twice", err)
	}
}

// TestNothingIsChanged: the caller's objects are the informers' own.
func TestNothingIsChanged(t *testing.T) {
	s := newScene()
	s.claim("data", "late")
	p := small("p", ct.Uses("data"))
	s.place(p, "node-a")
	before := fmt.Sprint(p, s.in.PersistentVolumeClaims[0], s.nodeA())
	expect(t, s.check(t, validate.Options{}), nil)
	if after := fmt.Sprint(p, s.in.PersistentVolumeClaims[0], s.nodeA()); after != before {
		t.Errorf("before %s\nafter %s", before, after)
	}
}

func TestProblemString(t *testing.T) {
	p := validate.Problem{Pod: types.NamespacedName{Namespace: "a", Name: "b"}, Node: "n", Plugin: "Fit", Message: "no"}
	if got := p.String(); got != "pod a/b: node n: Fit: no" {
		t.Error(got)
	}
	if got := (validate.Problem{Message: "no"}).String(); got != "no" {
		t.Error(got)
	}
}

// BenchmarkCheck places 5,000 pods on 1,000 nodes: plain ones, and ones of 50
// apps that spread over zones and keep apart on hosts.
func BenchmarkCheck(b *testing.B) {
	profile, err := fit.DefaultProfile()
	if err != nil {
		b.Fatal(err)
	}
	for _, kind := range []string{"plain", "constrained"} {
		g := ct.Group("workers", 0, 1000, 1000, "4", "16Gi", zoneA, zoneB)
		var s scene
		for i := range 1000 {
			s.in.Nodes = append(s.in.Nodes, ct.Join(&g, fmt.Sprintf("i-%04d", i), g.Zones[i%2]))
		}
		s.in.Groups = []cluster.Group{g}
		for i := range 5000 {
			pod := small(fmt.Sprintf("p-%04d", i))
			if kind == "constrained" {
				name := fmt.Sprintf("app-%d", i/100)
				ct.Spread(corev1.LabelTopologyZone, name)(pod)
				ct.AntiAffinity(corev1.LabelHostname, name)(pod)
			}
			s.place(pod, s.in.Nodes[i%1000].Name)
		}
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				problems, err := validate.Check(ct.Honest(s.in), s.plan, profile, validate.Options{})
				if err != nil || len(problems) > 0 {
					b.Fatal(len(problems), err)
				}
			}
		})
	}
}
