package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

// picture writes down what a snapshot shows.
func picture(s *cluster.Snapshot) string {
	out := ""
	for _, n := range s.Nodes() {
		out += fmt.Sprintf("%s %q %+v", n.Name(), n.Unusable, n.Used)
		for _, p := range n.Residents {
			out += fmt.Sprintf(" %s/%x", p.Name, p.Class.Key)
		}
		out += "\n"
	}
	for _, p := range s.Incoming() {
		out += fmt.Sprintf("incoming %s/%x\n", p.Name, p.Class.Key)
	}
	return fmt.Sprintf("%spending %d", out, len(s.Pending()))
}

// However pods and nodes come, change and go, the cache shows what listing the
// survivors shows; and a snapshot that was taken does not change afterwards.
func TestCacheFollowsEvents(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := cluster.NewCache()
		nodes, pods := map[string]*corev1.Node{}, map[string]*corev1.Pod{}
		var taken *cluster.Snapshot
		before := ""
		for step := range 300 {
			name := fmt.Sprintf("p-%d", r.IntN(40))
			node := fmt.Sprintf("n-%d", r.IntN(6))
			switch r.IntN(6) {
			case 0:
				nodes[node] = ct.Template("g", "2", "4Gi").Node(node, "us-west-2a")
				c.SetNode(nodes[node])
			case 1:
				delete(nodes, node)
				c.DeleteNode(node)
			case 2:
				if p := pods[name]; p != nil {
					c.DeletePod(cluster.Key(p))
					delete(pods, name)
				}
			default:
				p := ct.Pending(name, fmt.Sprintf("%dm", 100*(1+r.IntN(3))), "64Mi", ct.Labels(map[string]string{"app": fmt.Sprint(r.IntN(3))}))
				if r.IntN(2) == 0 {
					p.Spec.NodeName = node
				}
				if r.IntN(10) == 0 {
					p.Status.Phase = corev1.PodSucceeded
				}
				if r.IntN(10) == 0 {
					p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}}
				}
				pods[name] = p
				c.SetPod(p)
			}
			if step%50 != 49 {
				continue
			}
			if taken != nil && picture(taken) != before {
				t.Fatalf("seed %d: a snapshot changed after it was taken", seed)
			}
			var in cluster.Input
			for _, n := range nodes {
				in.Nodes = append(in.Nodes, n)
			}
			for _, p := range pods {
				in.Pods = append(in.Pods, p)
			}
			in = ct.Honest(in)
			listed, err := cluster.New(in)
			if err != nil {
				t.Fatal(err)
			}
			if taken, err = c.Snapshot(cluster.Input{Bindings: in.Bindings}); err != nil {
				t.Fatal(err)
			}
			if before = picture(taken); before != picture(listed) {
				t.Fatalf("seed %d step %d: the cache shows\n%s\nlisting shows\n%s", seed, step, before, picture(listed))
			}
			ids := map[int]string{}
			for _, n := range taken.Nodes() {
				for _, p := range n.Residents {
					if key, ok := ids[p.Class.ID]; ok && key != p.Class.Key {
						t.Fatalf("seed %d: two classes have id %d", seed, p.Class.ID)
					}
					ids[p.Class.ID] = p.Class.Key
				}
			}
		}
	}
}

// Many pods at once are the same as one after the other, also when the last pods of
// a class change to another and back.
func TestSetPods(t *testing.T) {
	c := cluster.NewCache()
	var in cluster.Input
	in.Nodes = []*corev1.Node{ct.Template("g", "2", "4Gi").Node("n", "us-west-2a")}
	c.SetNode(in.Nodes[0])
	for round := range 4 {
		in.Pods = nil
		for i := range 3000 {
			p := ct.Pending(fmt.Sprintf("p-%04d", i), fmt.Sprintf("%dm", 100+100*((i+round/2)%3)), "64Mi")
			if i%7 == round {
				p.Spec.NodeName = "n"
			}
			if i%11 == round {
				p.Status.Phase = corev1.PodFailed
			}
			in.Pods = append(in.Pods, p)
		}
		c.SetPods(in.Pods)
		in = ct.Honest(in)
		listed, err := cluster.New(in)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := c.Snapshot(cluster.Input{Bindings: in.Bindings})
		if err != nil {
			t.Fatal(err)
		}
		if picture(kept) != picture(listed) {
			t.Fatalf("round %d: the cache shows something else than listing", round)
		}
	}
}

func TestClasses(t *testing.T) {
	key := func(opts ...func(*corev1.Pod)) string {
		s := snapshot(t, cluster.Input{Pods: []*corev1.Pod{ct.Pending("a", "1", "1Gi", opts...)}})
		return s.Pending()[0].Class.Key
	}
	token := func(name string) func(*corev1.Pod) {
		return ct.Volume(name, corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}})
	}
	same := map[string]func(*corev1.Pod){
		"name":         func(p *corev1.Pod) { p.Name, p.UID = "b", "b" },
		"token volume": token("kube-api-access-x"),
		"image":        func(p *corev1.Pod) { p.Spec.Containers[0].Image = "other" },
		"annotation":   ct.Annotation("k", "v"),
		"notation of a quantity": func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests = ct.List("cpu", "1000m", "memory", "1024Mi")
		},
		"soft spread constraint": func(p *corev1.Pod) {
			ct.Spread("zone", "x")(p)
			p.Labels = nil
			p.Spec.TopologySpreadConstraints[0].WhenUnsatisfiable = corev1.ScheduleAnyway
		},
		"port without a host port": func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80}} },
	}
	for name, opt := range same {
		if key(opt) != key() {
			t.Errorf("%s makes another class", name)
		}
	}
	other := map[string]func(*corev1.Pod){
		"labels":        ct.Labels(map[string]string{"app": "x"}),
		"namespace":     func(p *corev1.Pod) { p.Namespace = "other" },
		"selector":      ct.Selector("k", "v"),
		"affinity":      ct.Affinity("zone", "x"),
		"anti-affinity": ct.AntiAffinity("zone", "x"),
		"priority":      ct.Priority(7),
		"host port":     func(p *corev1.Pod) { p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80}} },
		"toleration": func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}
		},
		"init container": func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: ct.List("cpu", "2")}}}
		},
		"overhead": func(p *corev1.Pod) { p.Spec.Overhead = ct.List("cpu", "1") },
		"claim":    ct.Volume("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}),
		"resized in place": func(p *corev1.Pod) {
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", AllocatedResources: ct.List("cpu", "2")}}
		},
	}
	seen := map[string]string{key(): "nothing"}
	for name, opt := range other {
		if was, twice := seen[key(opt)]; twice {
			t.Errorf("%s makes no other class than %s", name, was)
		}
		seen[key(opt)] = name
	}
}

// Pods of one class are counted once more for nothing: an encoding costs no
// allocation once its buffer is large enough.
func TestClassingAllocates(t *testing.T) {
	c := cluster.NewCache()
	pods := make([]*corev1.Pod, 100)
	for i := range pods {
		pods[i] = ct.Pending(fmt.Sprintf("p-%d", i), "1", "1Gi", ct.Labels(map[string]string{"app": "x", "tier": "y"}))
	}
	set := func() {
		for _, p := range pods {
			c.SetPod(p)
		}
	}
	set()
	if n := testing.AllocsPerRun(10, set); n > 10 {
		t.Errorf("setting 100 known pods again takes %.0f allocations", n)
	}
	if !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return p.Name == "p-7" }) {
		t.Error("the pods were changed")
	}
}
