package act_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/act"
	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/internal/fleet/launch"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/simcluster"
)

// fixture lives in a synctest bubble: it is one group "workers" whose instances are Nodes node-0, node-1, ...
type fixture struct {
	t       *testing.T
	aws     awssim.World
	kube    *fake.Clientset
	client  *asg.Client
	events  *record.FakeRecorder
	pods    cache.Indexer
	nodes   cache.Indexer
	ids     []string
	records adopted // the Nodes' names are not those of instances
	binder  *binder.Binder
	simcluster.Evictions
	*act.Executor
}

func newFixture(t *testing.T, minimum, desired int) *fixture {
	t.Helper()
	f := &fixture{t: t, kube: fake.NewClientset(), events: record.NewFakeRecorder(1000)}
	t.Cleanup(f.aws.Close)
	index := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	f.pods, f.nodes = cache.NewIndexer(cache.MetaNamespaceKeyFunc, index), cache.NewIndexer(cache.MetaNamespaceKeyFunc, index)
	f.Evictions.In(f.kube)
	f.aws.PutLaunchTemplate("workers", awssim.LaunchTemplateData{ImageID: awssim.DefaultImageID, InstanceType: "t3.medium", UserData: simcluster.UserData()})
	err := f.aws.PutGroup(awssim.GroupSpec{Name: "workers", Min: minimum, Max: 10, Desired: desired, LaunchTemplate: "workers", Tags: simcluster.Tags()})
	if err != nil {
		t.Fatal(err)
	}
	cfg := f.aws.Config("joinery-controller")
	instances := ec2.NewFromConfig(cfg)
	fleet := awsfleet.New(awsfleet.Options{EC2: instances, AutoScaling: autoscaling.NewFromConfig(cfg), Scope: fleet.Scope{Cluster: "demo"}})
	f.client = asg.New(asg.Options{
		AutoScaling: autoscaling.NewFromConfig(cfg), EC2: instances, Templates: launch.NewTemplates(instances),
		Fleet: fleet, Cluster: "demo", Log: slog.New(slog.DiscardHandler)})
	for i, in := range f.groups()[0].Instances {
		f.ids = append(f.ids, in.ID)
		f.addNode(i, "aws:///"+in.Zone+"/"+in.ID)
	}
	lister := corelisters.NewNodeLister(f.nodes)
	f.binder = binder.New(binder.Options{
		Nodes:  func() ([]*corev1.Node, error) { return lister.List(labels.Everything()) },
		Client: f.kube, Adopted: &f.records, Log: slog.New(slog.DiscardHandler), Fleet: fleet,
		Rules: binding.Rules{Cluster: "demo", Region: cfg.Region, VPC: f.aws.Instances()[0].VPCID, Mode: v1alpha1.IPName},
	})
	f.restart()
	return f
}

// restart has a new Executor lead, which remembers nothing.
func (f *fixture) restart() {
	f.t.Helper()
	m, err := act.NewMetrics(prometheus.NewRegistry())
	if err != nil {
		f.t.Fatal(err)
	}
	f.Executor = act.New(act.Options{
		Groups: f.client, Binder: f.binder, Kube: f.kube, Pods: corelisters.NewPodLister(f.pods), Nodes: corelisters.NewNodeLister(f.nodes),
		Events: f.events, Log: slog.New(slog.DiscardHandler), Metrics: m, DrainTimeout: time.Minute,
	})
}

// adopted are the operator's records, which a test changes while a removal reads them.
type adopted struct {
	mu      sync.Mutex
	records binding.Records
}

func (a *adopted) put(name string, r binding.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.records == nil {
		a.records = binding.Records{}
	}
	a.records[name] = r
}

func (a *adopted) drop(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.records, name)
}

func (a *adopted) Records(context.Context) (binding.Records, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.records), nil
}

// bindings are the verdicts about the Nodes that are observed.
func (f *fixture) bindings() map[string]binding.Verdict {
	f.t.Helper()
	all, err := f.binder.All(f.t.Context(), time.Minute)
	f.ok(err)
	return all
}

func nodeName(i int) string { return "node-" + string(rune('0'+i)) }

func (f *fixture) addNode(i int, providerID string) {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), UID: types.UID(nodeName(i))}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	f.records.put(n.Name, binding.Record{UID: string(n.UID), ProviderID: providerID, InEC2: true})
	f.ok(f.kube.Tracker().Add(n))
	f.ok(f.nodes.Add(n))
}

func (f *fixture) addPod(name, node string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}, Spec: corev1.PodSpec{NodeName: node}}
	f.ok(f.kube.Tracker().Add(p))
	f.ok(f.pods.Add(p))
	return p
}

func (f *fixture) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) groups() []cluster.Group {
	f.t.Helper()
	gs, err := f.client.Groups(f.t.Context(), 0)
	f.ok(err)
	return gs
}

func (f *fixture) node(i int) *corev1.Node {
	f.t.Helper()
	n, err := f.kube.CoreV1().Nodes().Get(f.t.Context(), nodeName(i), metav1.GetOptions{})
	f.ok(err)
	return n
}

// change changes a Node as its agent or an operator would.
func (f *fixture) change(i int, how func(*corev1.Node)) {
	f.t.Helper()
	n := f.node(i)
	how(n)
	f.ok(f.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
	f.ok(f.nodes.Update(n))
}

func says(status corev1.ConditionStatus, reason v1alpha1.ReadyReason) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.ScaleDownReady, Status: status, Reason: string(reason)}}
	}
}

func (f *fixture) removal(i int, pods ...string) scaledown.Decision {
	r := scaledown.Removal{Node: nodeName(i), UID: types.UID(nodeName(i)), Group: "workers", InstanceID: f.ids[i], Empty: len(pods) == 0, Reason: "test"}
	for _, p := range pods {
		r.Pods = append(r.Pods, types.NamespacedName{Namespace: "default", Name: p})
	}
	return scaledown.Decision{Remove: []scaledown.Removal{r}}
}

// untouched fails unless the node is as before and the group has its size.
func (f *fixture) untouched(i, desired int) {
	f.t.Helper()
	n := f.node(i)
	if kube.Marked(n) || n.Spec.Unschedulable || len(n.Annotations) > 0 {
		f.t.Errorf("node is tainted %v, cordoned %v, annotated %v: want as before", n.Spec.Taints, n.Spec.Unschedulable, n.Annotations)
	}
	if g := f.groups()[0]; g.Desired != desired {
		f.t.Errorf("desired is %d, want %d", g.Desired, desired)
	}
}

// event fails unless exactly n events hold all the words, and forgets all events.
func (f *fixture) event(n int, words ...string) {
	f.t.Helper()
	var all []string
	for len(f.events.Events) > 0 {
		all = append(all, <-f.events.Events)
	}
	found := 0
	for _, e := range all {
		if strings.Contains(e, "%!") {
			f.t.Errorf("an event has a format that lacks its value: %q", e)
		}
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(e, w) }) {
			found++
		}
	}
	if found != n {
		f.t.Errorf("%d events with %q, want %d, among %q", found, words, n, all)
	}
}
