package validate

import (
	"fmt"
	"maps"
	"slices"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// objects is an informer factory that holds what the plugins read beside nodes
// and pods. Its informers are filled here and never started, so there is nothing
// to wait for; the volume plugins read through to the informers' stores.
func objects(in cluster.Input, w *world) (informers.SharedInformerFactory, error) {
	factory := informers.NewSharedInformerFactory(nil, 0)
	core, storage := factory.Core().V1(), factory.Storage().V1()
	for _, err := range []error{
		fill(core.Namespaces().Informer(), in.Namespaces),
		fill(core.PersistentVolumeClaims().Informer(), in.PersistentVolumeClaims),
		fill(core.PersistentVolumes().Informer(), in.PersistentVolumes),
		fill(storage.StorageClasses().Informer(), in.StorageClasses),
		fill(storage.CSINodes().Informer(), csiNodes(in.CSINodes, w)),
	} {
		if err != nil {
			return nil, err
		}
	}
	return factory, nil
}

func fill[T any](informer cache.SharedIndexInformer, list []T) error {
	for _, obj := range list {
		if err := informer.GetIndexer().Add(obj); err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
	}
	return nil
}

// csiNodes adds to the CSINodes of the cluster what is missing: those of nodes on their
// way, and the drivers that have not registered yet on young ones.
func csiNodes(present []*storagev1.CSINode, w *world) []*storagev1.CSINode {
	out := make([]*storagev1.CSINode, 0, len(present))
	has := make(map[string]bool, len(present))
	for _, c := range present {
		has[c.Name] = true
		if n := w.nodes[c.Name]; n != nil {
			c = withDrivers(c, n.attachLimits)
		}
		out = append(out, c)
	}
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		if limits := w.nodes[name].attachLimits; len(limits) > 0 && !has[name] {
			out = append(out, csiNode(name, limits))
		}
	}
	return out
}

// withDrivers returns the CSINode with the drivers of limits that it does not name.
func withDrivers(c *storagev1.CSINode, limits map[string]int32) *storagev1.CSINode {
	late := maps.Clone(limits)
	for _, d := range c.Spec.Drivers {
		delete(late, d.Name)
	}
	if len(late) == 0 {
		return c
	}
	out := c.DeepCopy()
	out.Spec.Drivers = append(out.Spec.Drivers, csiNode(c.Name, late).Spec.Drivers...)
	return out
}

func csiNode(name string, limits map[string]int32) *storagev1.CSINode {
	out := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, driver := range slices.Sorted(maps.Keys(limits)) {
		limit := limits[driver]
		out.Spec.Drivers = append(out.Spec.Drivers, storagev1.CSINodeDriver{
			Name: driver, NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: &limit},
		})
	}
	return out
}
