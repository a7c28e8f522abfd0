package cluster_test

import (
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/internal/kube"
)

const gpu = corev1.ResourceName("nvidia.com/gpu")

// promising is a group whose template promises all kinds of things that come late, with
// a node that was made so long ago and has all of it.
func promising(now time.Time, age time.Duration) (cluster.Group, *corev1.Node) {
	g := ct.Group("gpu", 0, 1, 3, "4", "16Gi", "us-west-2a")
	maps.Copy(g.Template.Allocatable, ct.List(string(gpu), "1"))
	maps.Copy(g.Template.Capacity, ct.List(string(gpu), "1"))
	g.Template.Labels["feature.example/late"] = "yes"
	g.LaunchTemplateVersion = "7"
	n := ct.Join(&g, "i-1", "us-west-2a")
	n.CreationTimestamp = metav1.NewTime(now.Add(-age))
	g.Instances[0].LaunchTemplateVersion = "7"
	return g, n
}

func csiNode(name string, limits map[string]int32) *storagev1.CSINode {
	c := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for driver, n := range limits {
		c.Spec.Drivers = append(c.Spec.Drivers, storagev1.CSINodeDriver{Name: driver, Allocatable: &storagev1.VolumeNodeResources{Count: &n}})
	}
	return c
}

// A young node has what its group's template promises, until it has it itself or the
// deadline has passed; what it says itself wins.
func TestYoungNodeHasWhatIsPromised(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	unplugged := func(n *corev1.Node, _ *cluster.Group) {
		delete(n.Status.Allocatable, gpu)
		delete(n.Status.Capacity, gpu)
	}
	for name, tt := range map[string]struct {
		age      time.Duration
		edit     func(*corev1.Node, *cluster.Group)
		starting bool
		gpus     int64
		label    string
	}{
		"has all":                   {time.Minute, func(*corev1.Node, *cluster.Group) {}, false, 1, "yes"},
		"no device plugin yet":      {time.Minute, unplugged, true, 1, "yes"},
		"device plugin came twice":  {time.Minute, func(n *corev1.Node, _ *cluster.Group) { set(n, "0", "0") }, true, 1, "yes"},
		"broken devices":            {time.Minute, func(n *corev1.Node, _ *cluster.Group) { set(n, "1", "0") }, false, 0, "yes"},
		"fewer than promised":       {time.Minute, func(n *corev1.Node, g *cluster.Group) { g.Template.Allocatable[gpu] = resource.MustParse("8") }, false, 1, "yes"},
		"no device plugin for ever": {cluster.StartupTimeout, unplugged, false, 0, "yes"},
		"label to come":             {time.Minute, func(n *corev1.Node, _ *cluster.Group) { delete(n.Labels, "feature.example/late") }, true, 1, "yes"},
		"label of its own":          {time.Minute, func(n *corev1.Node, _ *cluster.Group) { n.Labels["feature.example/late"] = "no" }, false, 1, "no"},
		"label never came":          {time.Hour, func(n *corev1.Node, _ *cluster.Group) { delete(n.Labels, "feature.example/late") }, false, 1, ""},
		"of an older version": {time.Minute, func(n *corev1.Node, g *cluster.Group) {
			unplugged(n, g)
			g.Instances[0].LaunchTemplateVersion = "6"
		}, false, 0, "yes"},
		"silent": {time.Minute, func(n *corev1.Node, g *cluster.Group) {
			unplugged(n, g)
			n.Status.Conditions[0].Status = corev1.ConditionUnknown
		}, false, 0, "yes"},
		"without a time of creation, young by its instance": {0, func(n *corev1.Node, g *cluster.Group) {
			unplugged(n, g)
			n.CreationTimestamp = metav1.Time{}
			g.Instances[0].LaunchedAt = now.Add(-time.Minute)
		}, true, 1, "yes"},
		"without a time of creation, old by its instance": {0, func(n *corev1.Node, g *cluster.Group) {
			unplugged(n, g)
			n.CreationTimestamp = metav1.Time{}
			g.Instances[0].LaunchedAt = now.Add(-time.Hour)
		}, false, 0, "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			g, n := promising(now, tt.age)
			tt.edit(n, &g)
			before := n.DeepCopy()
			st := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}).Node(n.Name)
			if got := st.Kind == cluster.Starting; got != tt.starting {
				t.Errorf("starting: %t", got)
			}
			if got := st.Allocatable.Of(gpu); got != tt.gpus {
				t.Errorf("%d GPUs, want %d", got, tt.gpus)
			}
			if got := st.Node().Labels["feature.example/late"]; got != tt.label {
				t.Errorf("label %q, want %q", got, tt.label)
			}
			if len(before.Labels) != len(n.Labels) || len(before.Status.Allocatable) != len(n.Status.Allocatable) {
				t.Error("the given Node was changed")
			}
		})
	}
}

func set(n *corev1.Node, capacity, allocatable string) {
	n.Status.Capacity[gpu], n.Status.Allocatable[gpu] = resource.MustParse(capacity), resource.MustParse(allocatable)
}

// What only the kubelet and the cloud provider set is added as well, and nobody waits
// for it: a cluster may be without the EBS driver.
func TestYoungNodeIsKnownByItsZone(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	g, n := promising(now, time.Minute)
	for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, cluster.EBSZoneLabel, corev1.LabelArchStable} {
		delete(n.Labels, key)
	}
	st := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}).Node(n.Name)
	for key, want := range map[string]string{corev1.LabelTopologyZone: "us-west-2a", corev1.LabelTopologyRegion: "us-west-2", cluster.EBSZoneLabel: "us-west-2a", corev1.LabelArchStable: "amd64"} {
		if got := st.Node().Labels[key]; got != want {
			t.Errorf("label %s is %q, want %q", key, got, want)
		}
	}
	if st.Kind != cluster.Joined {
		t.Errorf("the node is waited for: %v", st.Kind)
	}
}

// Attach limits are promised by driver.
func TestYoungNodeHasAttachLimits(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		age      time.Duration
		csi      map[string]int32
		want     map[string]int32
		starting bool
	}{
		"no CSINode yet": {time.Minute, nil, map[string]int32{"ebs": 25, "efs": 9}, true},
		"one driver":     {time.Minute, map[string]int32{"ebs": 11}, map[string]int32{"ebs": 11, "efs": 9}, true},
		"both":           {time.Minute, map[string]int32{"ebs": 11, "efs": 1}, map[string]int32{"ebs": 11, "efs": 1}, false},
		"too late":       {time.Hour, map[string]int32{"ebs": 11}, map[string]int32{"ebs": 11}, false},
	} {
		g, n := promising(now, tt.age)
		g.Template.AttachLimits = map[string]int32{"ebs": 25, "efs": 9}
		in := cluster.Input{Now: now, Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}}
		if tt.csi != nil {
			in.CSINodes = []*storagev1.CSINode{csiNode(n.Name, tt.csi)}
		}
		st := snapshot(t, in).Node(n.Name)
		if !maps.Equal(st.AttachLimits, tt.want) || (st.Kind == cluster.Starting) != tt.starting {
			t.Errorf("%s: limits %v kind %v, want %v, starting %t", name, st.AttachLimits, st.Kind, tt.want, tt.starting)
		}
	}
}

// Start-up taints of others, those of the operator among them, are left out of a young
// node and of an imagined one; of a node that should have started they are not.
func TestStartupTaintsOfOthers(t *testing.T) {
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	rules := kube.TaintRules{Startup: []string{"example.com/warming", "own.example/*"}, Status: []string{"ops.example/"}}
	for key, want := range map[string]struct{ young, imagined bool }{
		"ebs.csi.aws.com/agent-not-ready":                         {true, true},
		"efs.csi.aws.com/agent-not-ready":                         {true, true},
		"fsx.csi.aws.com/agent-not-ready":                         {true, true},
		"s3.csi.aws.com/agent-not-ready":                          {true, true},
		"node.cilium.io/agent-not-ready":                          {true, true},
		"readiness.k8s.io/network":                                {true, true},
		"karpenter.sh/unregistered":                               {true, true},
		"node.cloudprovider.kubernetes.io/uninitialized":          {true, true},
		"startup-taint.cluster-autoscaler.kubernetes.io/anything": {true, true},
		"example.com/warming":                                     {true, true},
		"own.example/any":                                         {true, true},
		"status-taint.cluster-autoscaler.kubernetes.io/repair":    {false, true},
		"ops.example/repair":                                      {false, true},
		"dedicated":                                               {false, false},
		"example.com/dedicated":                                   {false, false},
	} {
		for age, young := range map[time.Duration]bool{time.Minute: want.young, time.Hour: false} {
			g, n := promising(now, age)
			taint := []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
			n.Spec.Taints, g.Template.Taints = taint, taint
			s := snapshot(t, cluster.Input{Now: now, Nodes: []*corev1.Node{n}, Groups: []cluster.Group{g}, Taints: rules})
			if got := len(s.Node(n.Name).Node().Spec.Taints) == 0; got != young {
				t.Errorf("%s on a node of %s: left out %t, want %t", key, age, got, young)
			}
			if got := len(s.Imagine("gpu", "new", "us-west-2a").Node().Spec.Taints) == 0; got != want.imagined {
				t.Errorf("%s in a template: left out %t, want %t", key, got, want.imagined)
			}
		}
	}
}
