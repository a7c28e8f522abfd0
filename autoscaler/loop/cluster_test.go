package loop_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/worlds"
)

// equal compares what the API server has with what it is to have.
func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// shape gives a Node what its machine reports at this moment.
func (p *player) shape(n *corev1.Node, m *machine) {
	age := time.Since(m.joined)
	ready := corev1.ConditionTrue
	switch nature := m.group.Nodes; {
	case !m.silent.IsZero() && time.Since(m.silent) > 40*time.Second, nature == worlds.Fickle && age%(10*time.Minute) > 8*time.Minute:
		ready = corev1.ConditionUnknown
	case nature == worlds.NeverReady, age < step:
		ready = corev1.ConditionFalse
	}
	n.Status.Conditions[0].Status = ready
	have := n.Status.Allocatable
	if m.group.Promised && m.group.Nodes != worlds.NoDevice && (m.group.Nodes != worlds.LateDevice || age >= minutes) {
		have[worlds.Device] = resource.MustParse("1")
	}
	switch m.group.Nodes {
	case worlds.Smaller:
		have[corev1.ResourceMemory] = *resource.NewQuantity(int64(m.instance.MemoryMiB/2)<<20, resource.BinarySI)
	case worlds.Boasters:
		have[corev1.ResourceCPU] = *resource.NewQuantity(4*int64(m.instance.VCPUs), resource.DecimalSI)
		have[corev1.ResourceMemory] = *resource.NewQuantity(4*int64(m.instance.MemoryMiB)<<20, resource.BinarySI)
	case worlds.Nameless:
		n.Spec.ProviderID = ""
	case worlds.Labelled:
		if delete(n.Labels, corev1.LabelTopologyZone); age >= minutes {
			n.Labels[corev1.LabelTopologyZone] = m.instance.Zone
		}
	case worlds.Quarantined:
		if !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "worlds.example/quarantine" }) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "worlds.example/quarantine", Effect: corev1.TaintEffectNoSchedule})
		}
	}
	n.Status.Capacity = have.DeepCopy()
}

// report1 has the agent of a node say whether it may go. It says so again only once a
// minute, as agents do.
func (p *player) report1(n *corev1.Node, idle bool) {
	said := corev1.NodeCondition{
		Type: v1alpha1.ScaleDownReady, Status: corev1.ConditionFalse, Reason: string(v1alpha1.PodsRunning),
		LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
	}
	if idle {
		said.Status, said.Reason = corev1.ConditionTrue, string(v1alpha1.Idle)
	}
	at := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == v1alpha1.ScaleDownReady })
	switch {
	case at < 0:
		n.Status.Conditions = append(n.Status.Conditions, said)
	case n.Status.Conditions[at].Status != said.Status:
		n.Status.Conditions[at] = said
	case time.Since(n.Status.Conditions[at].LastHeartbeatTime.Time) < time.Minute:
		return
	default:
		n.Status.Conditions[at].LastHeartbeatTime = said.LastHeartbeatTime
	}
	p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
}

// staticPod is the mirror pod of a static pod that nothing promises.
func staticPod(n *corev1.Node) *corev1.Pod {
	yes := true
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "kube-system", Name: "static-" + n.Name, UID: types.UID("static-" + n.Name), Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID, Controller: &yes}},
	}}
	pod.Spec = corev1.PodSpec{NodeName: n.Name, Containers: []corev1.Container{{Name: "c", Image: "static", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("600m")}}}}}
	pod.Status.Phase = corev1.PodRunning
	return pod
}

// classLabel is the label of the pods of a class, its name in it.
const classLabel = "worlds.example/class"

// podOf makes a pod of a class that no scheduler has looked at.
func (p *player) podOf(c worlds.Class) *corev1.Pod {
	p.made++
	yes, name := true, fmt.Sprintf("%s-%05d", c.Name, p.made)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{classLabel: c.Name}, CreationTimestamp: metav1.Now(),
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: c.Name, UID: types.UID(c.Name), Controller: &yes}},
	}}
	requests := corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(int64(c.CPU), resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(int64(c.Memory)<<20, resource.BinarySI),
	}
	if c.Device {
		requests[worlds.Device] = resource.MustParse("1")
	}
	pod.Spec = corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Priority: &c.Priority, Containers: []corev1.Container{{Name: "c", Image: "app", Resources: corev1.ResourceRequirements{Requests: requests}}}}
	if c.Zone != "" {
		pod.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: c.Zone}
	}
	if c.Group != "" {
		pod.Spec.Tolerations = []corev1.Toleration{{Key: worlds.Dedicated, Operator: corev1.TolerationOpEqual, Value: c.Group, Effect: corev1.TaintEffectNoSchedule}}
	}
	if c.Pinned {
		pod.Annotations = map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
	}
	if c.Apart {
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{classLabel: c.Name}},
		}}}}
	}
	pod.Status.Phase = corev1.PodPending
	return pod
}

func budgetOf(c worlds.Class, demanded int) *policyv1.PodDisruptionBudget {
	least := intstr.FromInt32(int32(demanded))
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: c.Name, Generation: 1},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{classLabel: c.Name}}},
	}
}

// nodes are those of the API server. Answers to evictions may not ask its client, which
// waits for them.
func (p *player) nodes() []corev1.Node {
	list, err := p.kube.Tracker().List(corev1.SchemeGroupVersion.WithResource("nodes"), corev1.SchemeGroupVersion.WithKind("Node"), "")
	p.ok(err)
	return list.(*corev1.NodeList).Items
}

// everyPod are the pods of a namespace, of all without one, by name.
func (p *player) everyPod(namespace string) []corev1.Pod {
	list, err := p.kube.Tracker().List(corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithKind("Pod"), namespace)
	p.ok(err)
	out := list.(*corev1.PodList).Items
	slices.SortFunc(out, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// pods are those of all classes, by name.
func (p *player) pods() []corev1.Pod { return p.everyPod("default") }

// byClass are the pods of each class, by name.
func (p *player) byClass() map[string][]corev1.Pod {
	all := map[string][]corev1.Pod{}
	for _, pod := range p.pods() {
		all[pod.Labels[classLabel]] = append(all[pod.Labels[classLabel]], pod)
	}
	return all
}

func (p *player) remove(pod *corev1.Pod) {
	p.ok(p.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), pod.Namespace, pod.Name))
}

// controllers keep as many pods of each class as there are to be, and give up those of
// a node whose kubelet has been silent for five minutes.
func (p *player) controllers() {
	all := p.byClass()
	for _, c := range p.world.Classes {
		var alive []corev1.Pod
		for _, pod := range all[c.Name] {
			if m := p.machineOf(pod.Spec.NodeName); m != nil && !m.silent.IsZero() && time.Since(m.silent) > 6*time.Minute && pod.DeletionTimestamp == nil {
				now := metav1.Now()
				pod.DeletionTimestamp = &now
				p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), &pod, pod.Namespace))
			}
			if pod.DeletionTimestamp == nil {
				alive = append(alive, pod)
			}
		}
		for range p.replicas[c.Name] - len(alive) {
			p.ok(p.kube.Tracker().Add(p.podOf(c)))
		}
		// Those that wait go first, then the newest.
		slices.SortStableFunc(alive, func(a, b corev1.Pod) int {
			if waits, other := a.Spec.NodeName == "", b.Spec.NodeName == ""; waits != other {
				return map[bool]int{true: -1, false: 1}[waits]
			}
			return strings.Compare(b.Name, a.Name)
		})
		for i := range len(alive) - p.replicas[c.Name] {
			p.remove(&alive[i])
		}
	}
}

// room is what a node has left, by its own word, and who runs there.
type room struct {
	node *corev1.Node
	free corev1.ResourceList
	has  map[string]int // class -> its pods
}

// rooms are the nodes that a scheduler may use, by name.
func (p *player) rooms() []*room {
	nodes := p.nodes()
	slices.SortFunc(nodes, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	at := map[string]*room{}
	var out []*room
	for i := range nodes {
		r := &room{&nodes[i], nodes[i].Status.Allocatable.DeepCopy(), map[string]int{}}
		at[r.node.Name] = r
		if r.node.Status.Conditions[0].Status == corev1.ConditionTrue && !r.node.Spec.Unschedulable {
			out = append(out, r)
		}
	}
	all := p.everyPod("")
	for i := range all {
		if r := at[all[i].Spec.NodeName]; r != nil {
			r.take(&all[i])
		}
	}
	return out
}

func (r *room) take(pod *corev1.Pod) {
	r.has[pod.Labels[classLabel]]++
	for name, q := range pod.Spec.Containers[0].Resources.Requests {
		left := r.free[name]
		left.Sub(q)
		r.free[name] = left
	}
	left := r.free[corev1.ResourcePods]
	left.Sub(resource.MustParse("1"))
	r.free[corev1.ResourcePods] = left
}

// fits says whether a pod of a class can run there.
func (r *room) fits(c worlds.Class, pod *corev1.Pod) bool {
	for _, t := range r.node.Spec.Taints {
		if t.Effect != corev1.TaintEffectPreferNoSchedule && (t.Key != worlds.Dedicated || t.Value != c.Group) {
			return false
		}
	}
	if c.Zone != "" && r.node.Labels[corev1.LabelTopologyZone] != c.Zone || c.Apart && r.has[c.Name] > 0 {
		return false
	}
	for name, q := range pod.Spec.Containers[0].Resources.Requests {
		if left := r.free[name]; left.Cmp(q) < 0 {
			return false
		}
	}
	pods := r.free[corev1.ResourcePods]
	return !pods.IsZero()
}

// schedule binds the pods that wait to the nodes with the fewest pods, those of the
// highest priority first, and says of the others that they fit nowhere.
func (p *player) schedule() {
	rooms := p.rooms()
	classes := map[string]worlds.Class{}
	for _, c := range p.world.Classes {
		classes[c.Name] = c
	}
	waiting := slices.DeleteFunc(p.pods(), func(pod corev1.Pod) bool { return pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil })
	slices.SortStableFunc(waiting, func(a, b corev1.Pod) int { return cmp.Compare(*b.Spec.Priority, *a.Spec.Priority) })
	for i := range waiting {
		pod := &waiting[i]
		var best *room
		for _, r := range rooms {
			if r.fits(classes[pod.Labels[classLabel]], pod) && (best == nil || total(r.has) < total(best.has)) {
				best = r
			}
		}
		if best != nil {
			best.take(pod)
			now := metav1.Now()
			pod.Spec.NodeName, pod.Status.Phase, pod.Status.StartTime = best.node.Name, corev1.PodRunning, &now
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
			p.watch.runs(best.node.Name)
		} else if len(pod.Status.Conditions) == 0 {
			pod.Status.Conditions = []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, LastTransitionTime: metav1.Now(), Message: "no node is available",
			}}
		} else {
			continue
		}
		p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, "default"))
	}
}

func total(has map[string]int) (n int) {
	for _, k := range has {
		n += k
	}
	return n
}

// evict answers evictions as the API server does: by the budgets as they are at that
// moment. The pod's controller makes another at once, and the scheduler looks for its place.
func (p *player) evict(a clienttesting.Action) (bool, runtime.Object, error) {
	create, ok := a.(clienttesting.CreateAction)
	if !ok || a.GetSubresource() != "eviction" {
		return false, nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	evicted := create.GetObject().(*policyv1.Eviction)
	for _, pod := range p.pods() {
		if pod.Name != evicted.Name {
			continue
		}
		b, err := p.kube.Tracker().Get(policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"), "default", pod.Labels[classLabel])
		if err == nil && b.(*policyv1.PodDisruptionBudget).Status.DisruptionsAllowed <= 0 {
			return true, nil, apierrors.NewTooManyRequests("the disruption budget "+pod.Labels[classLabel]+" does not allow it", 0)
		}
		p.watch.evicted(&pod)
		p.remove(&pod)
		p.controllers()
		p.schedule()
		p.budgets()
		p.watch.replaced(&pod)
		return true, nil, nil
	}
	return true, nil, apierrors.NewNotFound(corev1.Resource("pods"), evicted.Name)
}
