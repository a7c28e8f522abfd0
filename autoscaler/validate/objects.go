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
		fill(storage.CSINodes().Informer(), csiNodes(in, w)),
		fill(storage.VolumeAttachments().Informer(), in.VolumeAttachments),
		fill(storage.CSIDrivers().Informer(), in.CSIDrivers),
		fill(storage.CSIStorageCapacities().Informer(), in.CSIStorageCapacities),
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
func csiNodes(in cluster.Input, w *world) []*storagev1.CSINode {
	out := make([]*storagev1.CSINode, 0, len(in.CSINodes))
	has := make(map[string]bool, len(in.CSINodes))
	for _, c := range in.CSINodes {
		has[c.Name] = true
		out = append(out, promised(c, w.nodes[c.Name], in.CSIDrivers))
	}
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		if n := w.nodes[name]; !has[name] && (n.starts || len(n.attachLimits) > 0) {
			out = append(out, promised(csiNode(name, nil), n, in.CSIDrivers))
		}
	}
	return out
}

// promised returns the CSINode with the drivers that it does not name and that will
// register: those of the node's limits and, while it starts, those without which no
// pod with a volume of theirs may come.
func promised(c *storagev1.CSINode, n *node, drivers []*storagev1.CSIDriver) *storagev1.CSINode {
	if n == nil {
		return c
	}
	late := csiNode(c.Name, n.attachLimits)
	for _, d := range drivers {
		if must := d.Spec.PreventPodSchedulingIfMissing; n.starts && must != nil && *must && !names(late, d.Name) {
			late.Spec.Drivers = append(late.Spec.Drivers, storagev1.CSINodeDriver{Name: d.Name, NodeID: c.Name})
		}
	}
	out := c.DeepCopy()
	for _, d := range late.Spec.Drivers {
		if !names(c, d.Name) {
			out.Spec.Drivers = append(out.Spec.Drivers, d)
		}
	}
	return out
}

func names(c *storagev1.CSINode, driver string) bool {
	return slices.ContainsFunc(c.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver })
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
