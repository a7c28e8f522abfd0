package cluster

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	storagevolume "k8s.io/component-helpers/storage/volume"
	csitranslation "k8s.io/csi-translation-lib"
	"k8s.io/csi-translation-lib/plugins"
	"k8s.io/klog/v2"
)

// inTree knows the volumes of plugins that were once part of Kubernetes, and the CSI
// drivers that have taken their place.
var inTree = csitranslation.New()

// migrated reports whether the scheduler takes the in-tree plugin's volumes for
// those of its CSI driver.
func migrated(plugin string) bool {
	switch plugin {
	case plugins.AWSEBSInTreePluginName, plugins.GCEPDInTreePluginName, plugins.AzureDiskInTreePluginName,
		plugins.CinderInTreePluginName, plugins.PortworxVolumePluginName:
		return true
	}
	return false
}

// volumeOf gives the volume that a claim is or will be, as the scheduler's limits of
// nodes count it; zero when they do not count it. replaced says that it is of an
// in-tree plugin, whose place the driver has taken.
func (s *storage) volumeOf(claim *corev1.PersistentVolumeClaim) (v Volume, replaced bool) {
	pv := s.volumes[claim.Spec.VolumeName]
	if pv == nil {
		return s.volumeToBe(claim)
	}
	if pv.Spec.CSI == nil {
		if pluginOf(pv) == "" {
			return Volume{}, false
		}
		translated, err := inTree.TranslateInTreePVToCSI(klog.Logger{}, pv)
		if err != nil || translated.Spec.CSI == nil {
			return Volume{}, false
		}
		pv, replaced = translated, true
	}
	if pv.Spec.CSI.Driver == "" || pv.Spec.CSI.VolumeHandle == "" {
		return Volume{}, false
	}
	return Volume{pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle}, replaced
}

// pluginOf names the in-tree plugin of a volume that is taken for a CSI driver's;
// empty when it is of none.
func pluginOf(pv *corev1.PersistentVolume) string {
	if !inTree.IsPVMigratable(pv) {
		return ""
	}
	if plugin, err := inTree.GetInTreePluginNameFromSpec(pv, nil); err == nil && migrated(plugin) {
		return plugin
	}
	return ""
}

// volumeToBe is the same for the volume that will be made for a claim.
func (s *storage) volumeToBe(claim *corev1.PersistentVolumeClaim) (v Volume, replaced bool) {
	class := s.classes[storagevolume.GetPersistentVolumeClaimClass(claim)]
	if class == nil {
		return Volume{}, false
	}
	driver := class.Provisioner
	if inTree.IsMigratableIntreePluginByName(driver) {
		name, err := inTree.GetCSINameFromInTreeName(driver)
		if err != nil || !migrated(driver) {
			return Volume{}, false
		}
		driver, replaced = name, true
	}
	// No volume that exists has a NUL in its handle.
	return Volume{driver, "\x00" + claim.Namespace + "/" + claim.Name}, replaced
}

// eachVolume calls f for the volumes of a pod that runs, as far as they count: a
// claim that is being deleted still has its volume.
func (s *storage) eachVolume(pod *corev1.Pod, f func(Volume)) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !claimName(v) {
			if volume := inlineVolume(v, pod.Namespace); volume != (Volume{}) {
				f(volume)
			}
			continue
		}
		if claim := s.claims[claimKey(pod, v)]; claim != nil {
			if volume, _ := s.volumeOf(claim); volume != (Volume{}) {
				f(volume)
			}
		}
	}
}

// inlineVolume is the volume of a disk that a pod names itself.
func inlineVolume(v *corev1.Volume, namespace string) Volume {
	if !inTree.IsInlineMigratable(v) {
		return Volume{}
	}
	plugin, err := inTree.GetInTreePluginNameFromSpec(nil, v)
	if err != nil || !migrated(plugin) {
		return Volume{}
	}
	pv, err := inTree.TranslateInTreeInlineVolumeToCSI(klog.Logger{}, v, namespace)
	if err != nil || pv.Spec.CSI == nil {
		return Volume{}
	}
	driver, err := inTree.GetCSINameFromInTreeName(plugin)
	if err != nil {
		return Volume{}
	}
	return Volume{driver, pv.Spec.CSI.VolumeHandle}
}

// Held is a volume on a node, with how many of the node's pods use it: none when it
// is only attached, such as for a pod that is gone.
type Held struct {
	Pods     int32
	Attached bool
}

// VolumesOn are the volumes that count against the limits of the node's drivers.
func (s *Snapshot) VolumesOn(n *NodeState) map[Volume]Held {
	held := map[Volume]Held{}
	for i := range n.Residents {
		// A pod that names its disk itself is Unsupported.
		if p := &n.Residents[i]; p.Class.Claims || p.Class.Unsupported != "" {
			s.storage.eachVolume(p.Pod, func(v Volume) {
				h := held[v]
				h.Pods++
				held[v] = h
			})
		}
	}
	if n.Kind == Joined || n.Kind == Starting {
		for _, v := range s.storage.attachments[n.Name()] {
			h := held[v]
			h.Attached = true
			held[v] = h
		}
	}
	return held
}

func attachLimits(n *storagev1.CSINode) map[string]int32 {
	if n == nil {
		return nil
	}
	var limits map[string]int32
	for _, d := range n.Spec.Drivers {
		if d.Allocatable != nil && d.Allocatable.Count != nil {
			if limits == nil {
				limits = map[string]int32{}
			}
			limits[d.Name] = *d.Allocatable.Count
		}
	}
	return limits
}
