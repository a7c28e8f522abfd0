package fit

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
)

const configHead = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

// build makes a framework of the profile over one node that carries label
// disk=ssd and 2 cpu.
func build(t *testing.T, p *Profile, only ...string) (framework.Framework, fwk.NodeInfo) {
	t.Helper()
	node := ct.Template("workers", "2", "4Gi").Node("n", "us-west-2a")
	node.Labels["disk"] = "ssd"
	snapshot := cache.NewSnapshot(nil, []*corev1.Node{node})
	fw, err := p.Framework(t.Context(), snapshot, informers.NewSharedInformerFactory(nil, 0), only...)
	if err != nil {
		t.Fatal(err)
	}
	info, err := snapshot.NodeInfos().Get("n")
	if err != nil {
		t.Fatal(err)
	}
	return fw, info
}

func filtersOf(fw framework.Framework) []string {
	var out []string
	for _, p := range fw.ListPlugins().Filter.Enabled {
		out = append(out, p.Name)
	}
	return out
}

// refusedBy names the plugin that keeps the pod off the node, empty when none does.
func refusedBy(t *testing.T, fw framework.Framework, pod *corev1.Pod, node fwk.NodeInfo) string {
	t.Helper()
	state := framework.NewCycleState()
	if _, status, _ := fw.RunPreFilterPlugins(t.Context(), state, pod); !status.IsSuccess() {
		return status.Plugin()
	}
	if status := fw.RunFilterPlugins(t.Context(), state, pod, node); !status.IsSuccess() {
		return status.Plugin()
	}
	return ""
}

func TestDefaultProfile(t *testing.T) {
	p, err := DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	fw, node := build(t, p)
	if got := filtersOf(fw); !slices.Equal(got, simulated()) {
		t.Errorf("filters %v, want %v", got, simulated())
	}
	if got := refusedBy(t, fw, ct.Pod("p", "1", "1Gi"), node); got != "" {
		t.Errorf("a small pod is refused by %s", got)
	}
	if got := refusedBy(t, fw, ct.Pod("p", "3", "1Gi"), node); got != names.NodeResourcesFit {
		t.Errorf("a large pod is refused by %q", got)
	}
}

func TestFrameworkOfSomePlugins(t *testing.T) {
	p, err := ReadProfile([]byte(configHead+`profiles: [{plugins: {multiPoint: {disabled: [{name: TaintToleration}]}}}]`), "")
	if err != nil {
		t.Fatal(err)
	}
	fw, node := build(t, p, names.NodeName, names.TaintToleration, names.NodeAffinity)
	if got, want := filtersOf(fw), []string{names.NodeName, names.NodeAffinity}; !slices.Equal(got, want) {
		t.Errorf("filters %v, want %v: those named that the profile has", got, want)
	}
	if got := refusedBy(t, fw, ct.Pod("p", "3", "1Gi"), node); got != "" {
		t.Errorf("refused by %s, which is not among the plugins", got)
	}
	if got := refusedBy(t, fw, ct.Pod("p", "3", "1Gi", ct.Selector("disk", "hdd")), node); got != names.NodeAffinity {
		t.Errorf("refused by %q", got)
	}
}

func TestReadProfile(t *testing.T) {
	gpu := ct.Pod("p", "1", "1Gi")
	gpu.Spec.Containers[0].Resources.Requests = ct.List("example.com/gpu", "1")
	tests := []struct {
		name, config, scheduler string
		pod                     *corev1.Pod
		refused                 string
	}{
		{"the defaults", ``, "", gpu, names.NodeResourcesFit},
		{"ignored resources", `profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/gpu]}}]}]`, "", gpu, ""},
		{"added affinity", `profiles: [{pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [hdd]}]}]}}}}]}]`,
			"", ct.Pod("p", "1", "1Gi"), names.NodeAffinity},
		{"disabled at multiPoint", `profiles: [{plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}}]`, "", gpu, ""},
		{"disabled at the points", `profiles: [{plugins: {preFilter: {disabled: [{name: NodeResourcesFit}]}, filter: {disabled: [{name: NodeResourcesFit}]}}}]`, "", gpu, ""},
		{"all disabled but one", `profiles: [{plugins: {filter: {disabled: [{name: "*"}], enabled: [{name: NodeName}]}}}]`, "", gpu, ""},
		{"another scheduler", `profiles: [{schedulerName: default-scheduler}, {schedulerName: roomy, plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}}]`, "roomy", gpu, ""},
		{"the default one beside another", `profiles: [{schedulerName: default-scheduler}, {schedulerName: roomy, plugins: {multiPoint: {disabled: [{name: NodeResourcesFit}]}}}]`, "", gpu, names.NodeResourcesFit},
		{"soft default constraints", `profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]}]`, "", gpu, names.NodeResourcesFit},
		{"a foreign plugin that only scores", `profiles: [{plugins: {score: {enabled: [{name: Ours}]}}, pluginConfig: [{name: Ours, args: {a: 1}}]}]`, "", gpu, names.NodeResourcesFit},
		{"an extender that only binds", `extenders: [{urlPrefix: "http://x", bindVerb: bind, weight: 1}]`, "", gpu, names.NodeResourcesFit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ReadProfile([]byte(configHead+tt.config), tt.scheduler)
			if err != nil {
				t.Fatal(err)
			}
			fw, node := build(t, p)
			if got := refusedBy(t, fw, tt.pod, node); got != tt.refused {
				t.Errorf("refused by %q, want %q", got, tt.refused)
			}
		})
	}
}

func TestReadProfileErrors(t *testing.T) {
	const hard = `{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}, {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}}`
	tests := []struct {
		name, data, scheduler string
		want                  []string
	}{
		{"not YAML", "{", "", []string{"read scheduler configuration: "}},
		{"another kind", "apiVersion: kubescheduler.config.k8s.io/v1\nkind: NodeAffinityArgs\n", "", []string{"it is a NodeAffinityArgs"}},
		{"an unknown field", configHead + "profilez: []", "", []string{`unknown field "profilez"`}},
		{"no such scheduler", configHead, "mine", []string{"profiles: ", "default-scheduler", `no profile has schedulerName "mine"`}},
		{"what kube-scheduler refuses", configHead + "parallelism: -1\npercentageOfNodesToScore: 101", "", []string{"parallelism: ", "percentageOfNodesToScore: "}},
		{"what cannot be simulated, all of it", configHead + `
profiles:
- plugins: {multiPoint: {enabled: [{name: Ours}]}, preFilter: {enabled: [{name: Theirs}]}, filter: {enabled: [{name: Theirs}]}}
  pluginConfig: [` + hard + `]
extenders: [{urlPrefix: "http://x", filterVerb: filter, weight: 1, managedResources: [{name: example.com/gpu, ignoredByScheduler: true}]}]`, "", []string{
			"profiles[0].plugins.multiPoint.enabled[Ours]: ",
			"profiles[0].plugins.preFilter.enabled[Theirs]: ",
			"profiles[0].plugins.filter.enabled[Theirs]: ",
			"profiles[0].pluginConfig[PodTopologySpread].args.defaultConstraints[1].whenUnsatisfiable: ",
			"extenders[0].filterVerb: ",
			"extenders[0].managedResources[0].ignoredByScheduler: ",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadProfile([]byte(tt.data), tt.scheduler)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not name %q", err, want)
				}
			}
		})
	}
}

// TestOrderIsTheFrameworks asks the framework itself for the order in which
// multiPoint and the points are run.
func TestOrderIsTheFrameworks(t *testing.T) {
	set := func(names ...string) (s config.PluginSet) {
		for _, n := range names {
			s.Enabled = append(s.Enabled, config.Plugin{Name: n})
		}
		return s
	}
	p, err := DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	multi := set(names.NodeName, names.NodePorts, names.TaintToleration, names.NodeAffinity)
	for _, tt := range []struct{ enabled, disabled []string }{
		{nil, nil},
		{[]string{names.NodeAffinity, names.NodePorts}, nil},
		{[]string{names.VolumeZone, names.TaintToleration}, []string{names.NodeName}},
		{[]string{names.VolumeZone, names.NodePorts}, []string{"*"}},
		{[]string{names.NodeName, names.VolumeZone}, []string{names.NodeName}},
	} {
		point := set(tt.enabled...)
		point.Disabled = set(tt.disabled...).Enabled
		full := p.profile(nil)
		full.Plugins = &config.Plugins{QueueSort: full.Plugins.QueueSort, Bind: full.Plugins.Bind, Filter: point, MultiPoint: multi}
		fw, err := runtime.NewFramework(t.Context(), plugins.NewInTreeRegistry(), full,
			runtime.WithInformerFactory(informers.NewSharedInformerFactory(nil, 0)),
			runtime.WithSnapshotSharedLister(cache.NewEmptySnapshot()))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := enabledAt(point, multi), filtersOf(fw); !slices.Equal(got, want) {
			t.Errorf("enabled %v, disabled %v: %v, the framework runs %v", tt.enabled, tt.disabled, got, want)
		}
	}
}

// TestSimulatedPluginsBothPrepareAndFilter holds for enabledAt: it takes every
// plugin of multiPoint to have both extension points.
func TestSimulatedPluginsBothPrepareAndFilter(t *testing.T) {
	p, err := DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	fw, err := p.Framework(t.Context(), cache.NewEmptySnapshot(), informers.NewSharedInformerFactory(nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	points := fw.ListPlugins()
	if !reflect.DeepEqual(points.PreFilter.Enabled, points.Filter.Enabled) {
		t.Errorf("preFilter %v, filter %v", points.PreFilter.Enabled, points.Filter.Enabled)
	}
	if len(points.Reserve.Enabled) != 1 || points.Reserve.Enabled[0].Name != names.VolumeBinding {
		t.Errorf("reserve %v, want VolumeBinding only", points.Reserve.Enabled)
	}
}

func FuzzReadProfile(f *testing.F) {
	f.Add([]byte(configHead + `profiles: [{plugins: {filter: {disabled: [{name: "*"}]}}}]`))
	f.Add([]byte(configHead + `profiles: [{pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/gpu]}}]}]`))
	f.Add([]byte(configHead + `extenders: [{urlPrefix: "http://x", filterVerb: filter, weight: 1}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ReadProfile(data, "")
		if (p == nil) == (err == nil) {
			t.Errorf("profile %v, error %v", p, err)
		}
	})
}
