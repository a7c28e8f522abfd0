package asg_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/asg"
)

var medium = asg.TypeFacts{Name: "t3.medium", VCPUs: 2, MemoryMiB: 4096, Arch: "amd64"}

func nodeConfig(t testing.TB, spec string) *v1alpha1.NodeConfig {
	t.Helper()
	nc, err := v1alpha1.DecodeNodeConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: NodeConfig\nspec:\n  cluster: demo\n" + spec))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func TestTemplateResources(t *testing.T) {
	large := asg.TypeFacts{Name: "m5.large", VCPUs: 2, MemoryMiB: 8192, Arch: "amd64"}
	gpu := asg.TypeFacts{Name: "g5.xlarge", VCPUs: 4, MemoryMiB: 16384, Arch: "amd64", NvidiaGPUs: 1}
	for _, tt := range []struct {
		name  string
		facts asg.Facts
		spec  string
		tags  map[string]string
		// want: resource -> capacity and allocatable
		want map[corev1.ResourceName][2]string
	}{
		{
			"kubelet's defaults", asg.Facts{Types: []asg.TypeFacts{medium}}, "", nil,
			map[corev1.ResourceName][2]string{"cpu": {"2", "2"}, "memory": {"3788Mi", "3688Mi"}, "pods": {"110", "110"}},
		},
		{
			"reserved and a percentage", asg.Facts{Types: []asg.TypeFacts{medium}},
			"  kubelet: {maxPods: 20, kubeReserved: {cpu: 100m, memory: 300Mi}, systemReserved: {memory: 88Mi}, evictionHard: {memory.available: 50%}}\n", nil,
			map[corev1.ResourceName][2]string{"cpu": {"2", "1900m"}, "memory": {"3788Mi", "1506Mi"}, "pods": {"20", "20"}},
		},
		{
			"more reserved than there is", asg.Facts{Types: []asg.TypeFacts{medium}}, "  kubelet: {kubeReserved: {cpu: '3'}}\n", nil,
			map[corev1.ResourceName][2]string{"cpu": {"2", "0"}},
		},
		{
			"the least of a mixed group", asg.Facts{Types: []asg.TypeFacts{gpu, large}}, "", nil,
			map[corev1.ResourceName][2]string{"cpu": {"2", "2"}, "memory": {"7577Mi", "7477Mi"}},
		},
		{
			"a GPU", asg.Facts{Types: []asg.TypeFacts{gpu}}, "", nil,
			map[corev1.ResourceName][2]string{"nvidia.com/gpu": {"1", "1"}},
		},
		{
			"tags on top", asg.Facts{Types: []asg.TypeFacts{medium}}, "  kubelet: {kubeReserved: {cpu: 100m}}\n",
			map[string]string{
				"k8s.io/cluster-autoscaler/node-template/resources/cpu":               "1500m",
				"k8s.io/cluster-autoscaler/node-template/resources/memory":            "4Gi",
				"k8s.io/cluster-autoscaler/node-template/resources/ephemeral-storage": "100Gi",
				"k8s.io/cluster-autoscaler/node-template/resources/example.com/fpga":  "2",
			},
			map[corev1.ResourceName][2]string{"cpu": {"1500m", "1400m"}, "memory": {"4Gi", "3996Mi"}, "ephemeral-storage": {"100Gi", "100Gi"}, "example.com/fpga": {"2", "2"}},
		},
		{
			"a root volume", asg.Facts{Types: []asg.TypeFacts{medium}, RootGiB: 20}, "", nil,
			map[corev1.ResourceName][2]string{"ephemeral-storage": {"17Gi", "17Gi"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := asg.Template(tt.facts, nodeConfig(t, tt.spec), tt.tags)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				for i, list := range []corev1.ResourceList{got.Capacity, got.Allocatable} {
					have := list[name]
					if have.Cmp(resource.MustParse(want[i])) != 0 {
						t.Errorf("%s %s is %s, want %s", []string{"capacity", "allocatable"}[i], name, have.String(), want[i])
					}
				}
			}
		})
	}
}

func TestTemplateLabelsAndTaints(t *testing.T) {
	nc := nodeConfig(t, `
  labels: {team: a, tier: web}
  taints: [{key: dedicated, value: a, effect: NoSchedule}, {key: other, effect: NoExecute}]
`)
	got, err := asg.Template(asg.Facts{Types: []asg.TypeFacts{medium}}, nc, map[string]string{
		"k8s.io/cluster-autoscaler/node-template/label/team":      "b",
		"k8s.io/cluster-autoscaler/node-template/taint/dedicated": "b:NoSchedule",
		"k8s.io/cluster-autoscaler/enabled":                       "",
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"team": "b", "tier": "web", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelInstanceTypeStable: "t3.medium",
	} {
		if got.Labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, got.Labels[key], want)
		}
	}
	want := []corev1.Taint{{Key: "other", Effect: "NoExecute"}, {Key: "dedicated", Value: "b", Effect: "NoSchedule"}}
	if len(got.Taints) != len(want) || got.Taints[0] != want[0] || got.Taints[1] != want[1] {
		t.Errorf("taints are %v, want %v", got.Taints, want)
	}
}

func TestTemplateErrorsNameTheTag(t *testing.T) {
	arm := asg.TypeFacts{Name: "t4g.medium", VCPUs: 2, MemoryMiB: 4096, Arch: "arm64"}
	const prefix = "k8s.io/cluster-autoscaler/node-template/"
	for _, tt := range []struct {
		facts asg.Facts
		tags  map[string]string
		want  []string
	}{
		{asg.Facts{}, nil, []string{"no instance type"}},
		{asg.Facts{Types: []asg.TypeFacts{medium, arm}}, nil, []string{"t4g.medium (arm64)"}},
		{asg.Facts{Types: []asg.TypeFacts{medium}}, map[string]string{prefix + "resources/cpu": "many", prefix + "taint/x": "y", prefix + "label/bad key": "v"},
			[]string{prefix + `resources/cpu="many"`, prefix + `taint/x="y"`, prefix + `label/bad key="v"`}},
		{asg.Facts{Types: []asg.TypeFacts{medium}}, map[string]string{prefix + "resources/cpu": "-1"}, []string{prefix + "resources/cpu"}},
	} {
		_, err := asg.Template(tt.facts, nodeConfig(t, ""), tt.tags)
		if err == nil {
			t.Errorf("%v %v: no error", tt.facts, tt.tags)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q does not name %q", err, w)
			}
		}
	}
}

func FuzzTemplateTags(f *testing.F) {
	f.Add("taint/dedicated", "gpu:NoSchedule")
	f.Add("label/topology.ebs.csi.aws.com/zone", "us-west-2a")
	f.Add("resources/memory", "1e3Ki")
	f.Add("resources/", "9223372036854775808")
	nc := nodeConfig(f, "  kubelet: {kubeReserved: {memory: 100Mi}}\n")
	f.Fuzz(func(t *testing.T, key, value string) {
		got, err := asg.Template(asg.Facts{Types: []asg.TypeFacts{medium}}, nc, map[string]string{"k8s.io/cluster-autoscaler/node-template/" + key: value})
		if err != nil {
			return
		}
		for name, q := range got.Allocatable {
			if q.Sign() < 0 || q.Cmp(got.Capacity[name]) > 0 {
				t.Errorf("allocatable %s is %s of %v", name, q.String(), got.Capacity[name])
			}
		}
	})
}
