// Package clustertest builds nodes, pods and groups for the planners' tests.
package clustertest

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// List makes a resource list: List("cpu", "2", "memory", "4Gi", "pods", "110").
func List(kv ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i+1 < len(kv); i += 2 {
		out[corev1.ResourceName(kv[i])] = resource.MustParse(kv[i+1])
	}
	return out
}

// Template makes a template with so much allocatable, labels of the given group.
func Template(group, cpu, memory string) *cluster.Template {
	return &cluster.Template{
		Labels:      map[string]string{"group": group},
		Capacity:    List("cpu", cpu, "memory", memory, "pods", "110"),
		Allocatable: List("cpu", cpu, "memory", memory, "pods", "110"),
	}
}

// Group makes a group of one or more zones without instances; its template has
// so much allocatable.
func Group(name string, minSize, desired, maxSize int, cpu, memory string, zones ...string) cluster.Group {
	return cluster.Group{
		Name: name, Min: minSize, Desired: desired, Max: maxSize, Zones: zones, InstanceType: "t3.medium",
		Template: Template(name, cpu, memory),
	}
}

// InstanceID returns the id of the instance that a test calls name, such as i-a: name
// itself where it has the form of an id, and otherwise one that follows from it.
func InstanceID(name string) string {
	if fleet.ValidID(name) {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "i-" + hex.EncodeToString(sum[:])[:17]
}

// Join gives the group an instance in service and returns the instance's Ready
// Node, which is made of the group's template. The Node is named after the
// instance as the test calls it; the instance has InstanceID of that.
func Join(g *cluster.Group, name, zone string) *corev1.Node {
	id := InstanceID(name)
	g.Instances = append(g.Instances, cluster.Instance{
		ID: id, Zone: zone, Type: g.InstanceType, LifecycleState: "InService",
	})
	node := g.Template.Node("node-"+strings.TrimPrefix(name, "i-"), zone)
	node.UID = types.UID("node-uid-" + name)
	node.Spec.ProviderID = kube.ProviderID(zone, id)
	return node
}

// Honest returns in with a verdict for each of its nodes, as of an honest world: a
// node whose provider id is that of a group's instance is bound to it, every other
// one is adopted, as on premises.
func Honest(in cluster.Input) cluster.Input {
	ids := map[string]string{} // provider id -> instance id
	for _, g := range in.Groups {
		for _, i := range g.Instances {
			ids[kube.ProviderID(i.Zone, i.ID)] = i.ID
		}
	}
	in.Bindings = make(map[string]binding.Verdict, len(in.Nodes))
	for _, n := range in.Nodes {
		v := binding.Verdict{Standing: binding.Adopted, Reason: binding.Recorded}
		if id, ok := ids[n.Spec.ProviderID]; ok && id != "" {
			v = binding.Verdict{Standing: binding.Bound, Reason: binding.FactsAgree, InstanceID: id, Instance: &fleet.Instance{ID: id, State: "running"}}
		}
		in.Bindings[n.Name] = v
	}
	return in
}

// Pod makes a pod of namespace default with one container.
func Pod(name, cpu, memory string, opts ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName,
			Containers: []corev1.Container{{
				Name: "main", Resources: corev1.ResourceRequirements{Requests: List("cpu", cpu, "memory", memory)},
			}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, o := range opts {
		o(pod)
	}
	return pod
}

// Pending makes a pod that the scheduler has found no node for.
func Pending(name, cpu, memory string, opts ...func(*corev1.Pod)) *corev1.Pod {
	pod := Pod(name, cpu, memory, opts...)
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
	})
	return pod
}

// Running makes a pod of a ReplicaSet that runs on a node.
func Running(name, node, cpu, memory string, opts ...func(*corev1.Pod)) *corev1.Pod {
	all := append([]func(*corev1.Pod){OwnedBy("ReplicaSet", "rs")}, opts...)
	pod := Pod(name, cpu, memory, all...)
	pod.Spec.NodeName = node
	pod.Status.Phase = corev1.PodRunning
	return pod
}

// OwnedBy sets the pod's controller.
func OwnedBy(kind, name string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		yes := true
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion[kind], Kind: kind, Name: name, UID: types.UID("uid-" + kind + name), Controller: &yes}}
	}
}

// apiVersion has the versions of the built-in controllers.
var apiVersion = map[string]string{
	"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1", "ReplicationController": "v1",
}

// Labels adds labels to the pod.
func Labels(kv map[string]string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Labels == nil {
			p.Labels = map[string]string{}
		}
		maps.Copy(p.Labels, kv)
	}
}

// Annotation adds an annotation to the pod.
func Annotation(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, value) }
}

// Selector makes the pod ask for a node label.
func Selector(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Spec.NodeSelector == nil {
			p.Spec.NodeSelector = map[string]string{}
		}
		p.Spec.NodeSelector[key] = value
	}
}

// Priority sets the pod's priority.
func Priority(v int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.Priority = &v }
}

// Volume adds a volume to the pod.
func Volume(name string, source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	}
}

// Spread makes the pod keep an even spread, of skew 1, with the pods of label
// app=value.
func Spread(topologyKey, app string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		Labels(map[string]string{"app": app})(p)
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: topologyKey, WhenUnsatisfiable: corev1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		})
	}
}

// AntiAffinity makes the pod keep away from the pods of label app=value.
func AntiAffinity(topologyKey, app string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		Labels(map[string]string{"app": app})(p)
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(topologyKey, app)},
		}}
	}
}

// Affinity makes the pod ask to be beside a pod of label app=value.
func Affinity(topologyKey, app string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(topologyKey, app)},
		}}
	}
}

func term(topologyKey, app string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{
		TopologyKey:   topologyKey,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
	}
}
