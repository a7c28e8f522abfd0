package karpenter

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// nodePool makes the pool that stands for a group.
func nodePool(g cluster.Group) *v1.NodePool {
	pool := &v1.NodePool{
		ObjectMeta: metav1.ObjectMeta{Name: g.Name, UID: types.UID("uid-pool-" + g.Name)},
		Spec: v1.NodePoolSpec{
			Limits: v1.Limits{resources.Node: *resource.NewQuantity(int64(g.Max-g.Desired), resource.DecimalSI)},
		},
	}
	pool.Spec.Template.Labels = g.Template.Labels
	pool.Spec.Template.Spec.Taints = g.Template.Taints
	pool.Spec.Template.Spec.NodeClassRef = &v1.NodeClassReference{Group: "bench.joinery.dev", Kind: "NodeClass", Name: "default"}
	pool.Spec.Template.Spec.Requirements = []v1.NodeSelectorRequirementWithMinValues{
		{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: g.Zones},
	}
	return pool
}

// instanceType makes the only type of a group's pool.
func instanceType(g cluster.Group) *cloudprovider.InstanceType {
	zone := g.Zones[0]
	offer := scheduling.NewLabelRequirements(map[string]string{
		v1.CapacityTypeLabelKey: v1.CapacityTypeOnDemand, corev1.LabelTopologyZone: zone,
	})
	return &cloudprovider.InstanceType{
		Name: g.InstanceType,
		Requirements: scheduling.NewLabelRequirements(map[string]string{
			corev1.LabelInstanceTypeStable: g.InstanceType,
			corev1.LabelArchStable:         "amd64",
			corev1.LabelOSStable:           string(corev1.Linux),
			corev1.LabelTopologyZone:       zone,
			v1.CapacityTypeLabelKey:        v1.CapacityTypeOnDemand,
		}),
		Offerings: cloudprovider.Offerings{{Available: true, Requirements: offer, Price: g.Price}},
		Capacity:  g.Template.Capacity,
		Overhead: &cloudprovider.InstanceTypeOverhead{
			KubeReserved: resources.Subtract(g.Template.Capacity, g.Template.Allocatable),
		},
	}
}
