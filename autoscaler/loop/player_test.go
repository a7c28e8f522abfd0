package loop_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
	"github.com/joinery/joinery/lab/worlds"
)

const (
	// step is how much time passes between two looks of a player.
	step = 20 * time.Second
	// minutes is how long what comes late takes.
	minutes = 3 * time.Minute
	// settingsOfWorlds have waiting times of which many fit into a world.
	settingsOfWorlds = "resync: 1m, provisionTimeout: 5m, scaleDown: {drainTimeout: 1m, unneededTime: 3m, delayAfterAdd: 3m, unreadyTime: 5m}"
)

// player lives a random world with a loop, in a synctest bubble: it is its people, its
// scheduler, its controllers, its kubelets and agents. Its scheduler shares no code with
// the planner.
type player struct {
	*fixture
	world worlds.World
	watch *watch
	begin time.Time
	stop  func()

	machines map[string]*machine // instance -> what the player makes of it
	replicas map[string]int      // class -> how many there are to be
	demanded map[string]int      // class -> how many its budget demands
	ends     []ending            // of what lasts for a while
	made     int                 // pods so far

	mu sync.Mutex // guards the pods: evictions come from the loop
}

// machine is an instance as its kubelet and agent are.
type machine struct {
	instance      awssim.Instance
	group         worlds.Group
	joins, joined time.Time
	deleted       bool      // its Node, by a person
	silent        time.Time // since when its kubelet is dead
	served        time.Time // when a pod first ran there
	ours          bool      // the loop ended it
	over          bool      // it has ended
}

// ending is when something ends that lasts.
type ending struct {
	at time.Time
	do func()
}

// live plays a world to its end, and returns what it has seen that must not be.
func live(t *testing.T, w worlds.World) []violation {
	t.Helper()
	p := &player{
		fixture: newFixtureWith(t, &awssim.World{Seed: w.Seed, Harsh: w.Harsh}, settingsOfWorlds), world: w, begin: time.Now(),
		machines: map[string]*machine{}, replicas: map[string]int{}, demanded: map[string]int{},
	}
	p.watch = newWatch(p)
	p.kube.PrependReactor("create", "pods", p.evict)
	p.populate()
	p.stop = p.run()
	events := w.Events
	for p.into() < w.Storm+w.Calm {
		bubble.Sleep(step)
		for len(events) > 0 && events[0].At <= p.into() {
			p.happen(events[0])
			events = events[1:]
		}
		p.look()
	}
	p.stop()
	p.watch.atTheEnd()
	return p.watch.seen
}

func (p *player) into() time.Duration { return time.Since(p.begin) }

// populate makes the groups, and waits until AWS has launched what they begin with.
func (p *player) populate() {
	for _, c := range p.world.Classes {
		p.replicas[c.Name], p.demanded[c.Name] = c.Replicas, c.Available
	}
	for _, c := range p.world.Classes {
		p.ok(p.kube.Tracker().Add(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: c.Name, UID: types.UID(c.Name)}}))
	}
	for _, g := range p.world.Groups {
		p.putTemplate(g.Name, g.Type)
		tags := simcluster.Tags()
		if g.Tainted {
			tags = append(tags, awssim.Tag{Key: "k8s.io/cluster-autoscaler/node-template/taint/" + worlds.Dedicated, Value: g.Name + ":NoSchedule"})
		}
		if g.Promised {
			tags = append(tags, awssim.Tag{Key: "k8s.io/cluster-autoscaler/node-template/resources/" + worlds.Device, Value: "1"})
		}
		spec := awssim.GroupSpec{Name: g.Name, Max: g.Max, LaunchTemplate: g.Name, Zones: g.Zones, Tags: tags}
		if g.Nodes == worlds.Stuck {
			p.ok(p.aws.PutGroup(spec))
			p.hook(g.Name, "theirs")
		}
		spec.Min, spec.Desired = g.Min, g.Desired
		p.ok(p.aws.PutGroup(spec))
	}
	p.aws.Settle()
	p.look()
}

// look lets everybody but the loop do what they do within a step.
func (p *player) look() {
	for _, e := range slices.Clone(p.ends) {
		if !e.at.After(time.Now()) {
			e.do()
		}
	}
	p.ends = slices.DeleteFunc(p.ends, func(e ending) bool { return !e.at.After(time.Now()) })
	p.watch.calls()
	p.kubelets()
	p.mu.Lock()
	p.controllers()
	p.schedule()
	p.budgets()
	p.mu.Unlock()
	p.agents()
	p.watch.look()
}

// happen does what an event says.
func (p *player) happen(e worlds.Event) {
	p.watch.calls()
	p.watch.look()
	p.watch.fact(string(e.Kind))
	api := autoscaling.NewFromConfig(p.aws.Config("operator"))
	switch e.Kind {
	case worlds.Scale:
		p.replicas[e.Class] = e.N
	case worlds.Budget:
		p.demanded[e.Class] = e.N
	case worlds.NoCapacity, worlds.ZoneLost:
		p.until(e, p.aws.Inject(awssim.Fault{NoCapacity: &awssim.Capacity{Zone: e.Zone}}))
		if e.Kind == worlds.ZoneLost {
			for _, in := range p.aws.Instances() {
				if in.Zone == e.Zone {
					p.aws.Terminate(in.ID)
				}
			}
		}
	case worlds.NoLaunch, worlds.NoEnd:
		process := map[worlds.Kind]string{worlds.NoLaunch: "Launch", worlds.NoEnd: "Terminate"}[e.Kind]
		p.suspend(e.Group, process)
		p.until(e, func() {
			_, err := api.ResumeProcesses(p.t.Context(), &autoscaling.ResumeProcessesInput{AutoScalingGroupName: &e.Group, ScalingProcesses: []string{process}})
			p.ok(err)
		})
	case worlds.Bounds, worlds.Desire, worlds.Retire:
		p.resize(api, e)
	case worlds.NodeGone, worlds.Silent, worlds.Ended, worlds.Cordoned:
		p.strike(e)
	case worlds.Leader:
		p.stop()
		p.metrics = prometheus.NewRegistry()
		p.lead(settingsOfWorlds)
		p.stop = p.run()
	case worlds.Throttled:
		p.until(e, p.aws.Inject(awssim.Fault{Service: "autoscaling", Principal: "joinery-controller", Code: "Throttling", Probability: 0.7}))
	case worlds.Down:
		as := p.aws.Inject(awssim.Fault{Service: "autoscaling", Principal: "joinery-controller", Code: "InternalFailure", Status: 500})
		ec2 := p.aws.Inject(awssim.Fault{Service: "ec2", Principal: "joinery-controller", Code: "InternalError", Status: 500})
		p.until(e, func() { as(); ec2() })
	case worlds.Deaf:
		set := p.aws.Inject(awssim.Fault{Service: "autoscaling", Action: "SetDesiredCapacity", LoseAnswer: true, Probability: 0.5})
		end := p.aws.Inject(awssim.Fault{Service: "autoscaling", Action: "TerminateInstanceInAutoScalingGroup", LoseAnswer: true, Probability: 0.5})
		p.until(e, func() { set(); end() })
	default:
		p.t.Fatalf("nothing is known of %q", e.Kind)
	}
	p.watch.people()
}

// until has what an event did end when its time is over, which is a new fact too.
func (p *player) until(e worlds.Event, end func()) {
	p.ends = append(p.ends, ending{time.Now().Add(e.For), func() { end(); p.watch.fact("the end of: " + string(e.Kind)) }})
}

// resize changes a group as a person does who looks at it only once.
func (p *player) resize(api *autoscaling.Client, e worlds.Event) {
	g, err := p.aws.Group(e.Group)
	p.ok(err)
	least, most, desired := int32(g.Min), int32(g.Max), int32(g.Desired)
	switch e.Kind {
	case worlds.Retire:
		least, most = 0, 0
	case worlds.Bounds:
		most = int32(e.N)
	case worlds.Desire:
		desired = int32(e.N)
	}
	least = min(least, most)
	desired = min(max(desired, least), most)
	_, err = api.UpdateAutoScalingGroup(p.t.Context(), &autoscaling.UpdateAutoScalingGroupInput{AutoScalingGroupName: &e.Group, MinSize: &least, MaxSize: &most, DesiredCapacity: &desired})
	p.ok(err)
}

// strike does something to one of the nodes.
func (p *player) strike(e worlds.Event) {
	nodes := p.nodes()
	if len(nodes) == 0 {
		return
	}
	n := nodes[e.Pick%uint64(len(nodes))]
	m := p.machineOf(n.Name)
	switch {
	case m == nil:
	case e.Kind == worlds.NodeGone:
		m.deleted = true
		p.mu.Lock()
		p.forget(n.Name)
		p.mu.Unlock()
	case e.Kind == worlds.Silent:
		m.silent = time.Now()
	case e.Kind == worlds.Ended:
		p.aws.Terminate(m.instance.ID)
	case e.Kind == worlds.Cordoned:
		p.cluster.ChangeNode(n.Name, func(n *corev1.Node) { n.Spec.Unschedulable = true })
		p.until(e, func() {
			if _, err := p.kube.CoreV1().Nodes().Get(p.t.Context(), n.Name, metav1.GetOptions{}); err == nil {
				p.cluster.ChangeNode(n.Name, func(n *corev1.Node) { n.Spec.Unschedulable = kube.Marked(n) })
			}
		})
	}
}

// machineOf is the machine whose Node has a name.
func (p *player) machineOf(node string) *machine {
	for _, m := range p.machines {
		if m.instance.PrivateDNSName == node && m.instance.State == awssim.Running {
			return m
		}
	}
	return nil
}

// forget deletes a Node with its pods, as the janitor and the garbage collector do.
func (p *player) forget(node string) {
	p.ok(p.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", node))
	for _, pod := range p.pods() {
		if pod.Spec.NodeName == node {
			p.remove(&pod)
		}
	}
}

// kubelets make Nodes of instances, keep them, and forget those of ended ones.
func (p *player) kubelets() {
	names := map[string]bool{} // of instances that run
	for _, in := range p.aws.Instances() {
		m := p.machines[in.ID]
		if m == nil {
			m = &machine{group: p.world.Group(in.Group), joins: time.Now().Add(step * time.Duration(1+len(p.machines)%3))}
			if m.group.Nodes == worlds.Late {
				m.joins = m.joins.Add(minutes)
			}
			p.machines[in.ID] = m
		}
		m.instance = in
		if in.State != awssim.Running {
			continue
		}
		names[in.PrivateDNSName] = true
		if m.joined.IsZero() && !m.joins.After(time.Now()) && m.group.Nodes != worlds.NeverJoin && m.group.Nodes != worlds.Stuck {
			p.join(m)
		}
	}
	for _, n := range p.nodes() {
		if !names[n.Name] {
			p.mu.Lock()
			p.forget(n.Name)
			p.mu.Unlock()
			continue
		}
		p.keep(&n, p.machineOf(n.Name))
	}
}

// join makes the Node of a machine, as its group's nature has it.
func (p *player) join(m *machine) {
	m.joined = time.Now()
	n := simcluster.NodeOf(m.instance)
	n.CreationTimestamp = metav1.Now()
	maps.Copy(n.Labels, map[string]string{
		corev1.LabelTopologyZone: m.instance.Zone, corev1.LabelTopologyRegion: p.aws.Region, corev1.LabelInstanceTypeStable: m.instance.Type,
		corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
	})
	n.Status.Conditions[0].LastTransitionTime = metav1.Now()
	if m.group.Tainted {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: worlds.Dedicated, Value: m.group.Name, Effect: corev1.TaintEffectNoSchedule})
	}
	p.shape(n, m)
	p.register(n)
	if m.group.Nodes == worlds.Crowded {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ok(p.kube.Tracker().Add(staticPod(n)))
	}
	if m.group.Nodes != worlds.Honest {
		p.watch.fact("a node that is " + string(m.group.Nodes))
	}
}

// keep changes a Node in time: what comes late comes, and what is dead falls silent.
func (p *player) keep(n *corev1.Node, m *machine) {
	before := n.DeepCopy()
	p.shape(n, m)
	if status := n.Status.Conditions[0].Status; status != before.Status.Conditions[0].Status {
		n.Status.Conditions[0].LastTransitionTime = metav1.Now()
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == corev1.TaintNodeUnreachable || t.Key == corev1.TaintNodeNotReady
		})
		switch status {
		case corev1.ConditionUnknown:
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoSchedule})
		case corev1.ConditionFalse:
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
		}
		p.watch.fact("a node became Ready or not Ready")
	}
	if !equal(before, n) {
		p.ok(p.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
	}
}

// budgets keep the status of disruption budgets.
func (p *player) budgets() {
	all := p.byClass()
	for _, c := range p.world.Classes {
		healthy, expected := 0, p.replicas[c.Name]
		for _, pod := range all[c.Name] {
			if kube.PodReady(&pod) && pod.DeletionTimestamp == nil {
				healthy++
			}
		}
		demanded := p.demanded[c.Name]
		b := budgetOf(c, demanded)
		b.Status = policyv1.PodDisruptionBudgetStatus{
			ObservedGeneration: b.Generation, CurrentHealthy: int32(healthy), DesiredHealthy: int32(demanded),
			ExpectedPods: int32(expected), DisruptionsAllowed: int32(max(0, healthy-demanded)),
		}
		have, err := p.kube.Tracker().Get(policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"), "default", c.Name)
		switch {
		case err != nil && demanded > 0:
			p.ok(p.kube.Tracker().Add(b))
		case err == nil && !equal(have.(*policyv1.PodDisruptionBudget).Status, b.Status):
			p.ok(p.kube.Tracker().Update(policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets"), b, "default"))
		}
	}
}

// agents report whether their nodes may go.
func (p *player) agents() {
	busy := map[string]bool{}
	for _, pod := range p.pods() {
		busy[pod.Spec.NodeName] = true
	}
	for _, n := range p.nodes() {
		m := p.machineOf(n.Name)
		if m == nil || !m.silent.IsZero() {
			continue
		}
		p.report1(&n, !busy[n.Name] || m.group.Nodes == worlds.Idlers)
	}
}

// happened says a time as violations do.
func (p *player) happened(at time.Time) string { return fmt.Sprint(at.Sub(p.begin).Round(time.Second)) }
