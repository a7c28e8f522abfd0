package cluster

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	storagevolume "k8s.io/component-helpers/storage/volume"
	"k8s.io/klog/v2"
	corev1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
)

// noProvisioner is the provisioner of volumes that somebody makes by hand.
const noProvisioner = "kubernetes.io/no-provisioner"

// boundVolume is a volume that a claim has.
type boundVolume struct {
	volume *corev1.PersistentVolume
	// plugin is the in-tree plugin of the volume, translated what the volume is on
	// nodes where a CSI driver has taken the plugin's place.
	plugin     string
	translated *corev1.PersistentVolume
}

// labelValues asks for one of some values of a node's label.
type labelValues struct {
	key    string
	values []string
}

// unboundClaim is a claim whose volume is made or found once the pod has a node.
type unboundClaim struct {
	claim *corev1.PersistentVolumeClaim
	class *storagev1.StorageClass
	size  resource.Quantity
	// node is where the scheduler has decided that the volume is made; empty while
	// it has not.
	node string
	// volumes are those that may be what the claim asks for.
	volumes []*corev1.PersistentVolume
	// scarce: the driver says where there is room, in capacities.
	scarce     bool
	capacities []*storagev1.CSIStorageCapacity
}

// addBound adds where a bound volume can be attached.
func (s *storage) addBound(n *VolumeNeeds, claim *corev1.PersistentVolumeClaim, zoned bool) (refused string) {
	v := s.volumes[claim.Spec.VolumeName]
	if v == nil {
		return "persistent volume " + claim.Spec.VolumeName + " of claim " + claim.Name + " does not exist"
	}
	b := boundVolume{volume: v, plugin: pluginOf(v)}
	if b.plugin != "" {
		// Without a translation the volume is nowhere where one is asked for.
		b.translated, _ = inTree.TranslateInTreePVToCSI(klog.Logger{}, v)
	}
	if b.plugin != "" || affinityOf(v) != nil {
		n.bound = append(n.bound, b)
	}
	for _, key := range zoneLabels {
		value, ok := v.Labels[key]
		if !ok || !zoned {
			continue
		}
		// Several zones of one volume are joined by two underscores.
		values := strings.Split(value, "__")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if !slices.Contains(values, "") {
			n.zones = append(n.zones, labelValues{key, values})
		}
	}
	return ""
}

// zoneLabels are the labels of a volume that plugin VolumeZone compares.
var zoneLabels = []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion}

// zoneSuccessors: label that is no longer set -> the one in its place.
var zoneSuccessors = map[string]string{
	corev1.LabelFailureDomainBetaZone: corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
}

func (s *storage) unboundClaim(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) unboundClaim {
	size, sized := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	u := unboundClaim{claim: claim, class: class, size: size, node: claim.Annotations[storagevolume.AnnSelectedNode]}
	if u.node == "" {
		u.volumes = s.free[class.Name]
		for _, v := range s.kept[keyOf(claim)] {
			if storagevolume.GetPersistentVolumeClass(v) == class.Name {
				u.volumes = append(slices.Clip(u.volumes), v)
			}
		}
	}
	if d := s.drivers[class.Provisioner]; sized && d != nil && d.Spec.StorageCapacity != nil && *d.Spec.StorageCapacity {
		u.scarce, u.capacities = true, s.capacities[class.Name]
	}
	return u
}

// write writes what tells the claim apart from others that ask for the same.
func (u *unboundClaim) write(e *encoder) {
	e.str(u.class.Name)
	e.str(u.node)
	if len(u.volumes) > 0 {
		e.str(u.claim.Namespace)
		e.str(u.claim.Name)
	}
	if u.scarce {
		e.num(u.size.Value())
	}
	e.num(-1)
}

// Refuses says why the volumes cannot be on the node, empty when they can.
func (v *VolumeNeeds) Refuses(n *NodeState) string {
	have := n.Node().Labels
	for i := range v.bound {
		if !v.bound[i].reaches(n) {
			return "a volume of the pod cannot be attached there"
		}
	}
	if !v.zonesMatch(have) {
		return "a volume of the pod cannot be attached there"
	}
	for _, d := range v.drivers {
		if !n.has(d.name) && !n.Registering() && !(d.replaced && n.csi == nil) {
			return "CSI driver " + d.name + " is not registered on the node"
		}
	}
	return v.makes(n)
}

func (b *boundVolume) reaches(n *NodeState) bool {
	v := b.volume
	if b.plugin != "" && n.migrates(b.plugin) {
		v = b.translated
	}
	return v != nil && storagevolume.CheckNodeAffinity(v, n.Node().Labels) == nil
}

// zonesMatch compares zones as plugin VolumeZone does: with a node that names none
// of them everything matches.
func (v *VolumeNeeds) zonesMatch(have map[string]string) bool {
	if !slices.ContainsFunc(zoneLabels, func(key string) bool { _, ok := have[key]; return ok }) {
		return true
	}
	for _, z := range v.zones {
		value, ok := have[z.key]
		if !ok {
			value, ok = have[zoneSuccessors[z.key]]
		}
		if !ok || !slices.Contains(z.values, value) {
			return false
		}
	}
	return true
}

// makes says why the volumes that the pod still lacks cannot be found or made for
// the node, empty when they can.
func (v *VolumeNeeds) makes(n *NodeState) string {
	chosen := map[string]*corev1.PersistentVolume{}
	for i := range v.unbound {
		u := &v.unbound[i]
		if u.node != "" && u.node != n.Name() {
			return "a volume of the pod is being made for node " + u.node
		}
		if len(u.volumes) > 0 {
			found, err := storagevolume.FindMatchingVolume(u.claim, u.volumes, n.Node(), chosen, true, true)
			if err == nil && found != nil {
				chosen[found.Name] = found
				continue
			}
		}
		if why := u.provisions(n.Node().Labels); why != "" {
			return why
		}
	}
	return ""
}

func (u *unboundClaim) provisions(have map[string]string) string {
	switch {
	case u.class.Provisioner == "" || u.class.Provisioner == noProvisioner:
		return "there is no volume for claim " + u.claim.Name + ", and its storage class makes none"
	case !corev1helper.MatchTopologySelectorTerms(u.class.AllowedTopologies, have):
		return "a volume of the pod cannot be made there"
	case u.scarce && !slices.ContainsFunc(u.capacities, func(c *storagev1.CSIStorageCapacity) bool { return u.within(c, have) }):
		return "there is not enough storage for claim " + u.claim.Name
	}
	return ""
}

func (u *unboundClaim) within(c *storagev1.CSIStorageCapacity, have map[string]string) bool {
	limit := c.Capacity
	if c.MaximumVolumeSize != nil {
		limit = c.MaximumVolumeSize
	}
	if limit == nil || limit.Cmp(u.size) < 0 || c.NodeTopology == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(c.NodeTopology)
	return err == nil && selector.Matches(labels.Set(have))
}

// LooksAt tells what of a node Refuses looks at: labels, its name, and what CSI
// drivers say about it.
func (v *VolumeNeeds) LooksAt() (keys []string, name, csi bool) {
	for i := range v.bound {
		b := &v.bound[i]
		keys = append(append(keys, selectorKeys(affinityOf(b.volume))...), selectorKeys(affinityOf(b.translated))...)
		csi = csi || b.plugin != ""
	}
	if len(v.zones) > 0 {
		keys = append(keys, zoneLabels...)
	}
	for i := range v.unbound {
		keys = append(keys, v.unbound[i].keys()...)
		name = name || v.unbound[i].node != ""
	}
	return keys, name, csi || len(v.drivers) > 0
}

func (u *unboundClaim) keys() (keys []string) {
	for _, v := range u.volumes {
		keys = append(keys, selectorKeys(affinityOf(v))...)
	}
	for _, t := range u.class.AllowedTopologies {
		for _, e := range t.MatchLabelExpressions {
			keys = append(keys, e.Key)
		}
	}
	for _, c := range u.capacities {
		if c.NodeTopology == nil {
			continue
		}
		for key := range c.NodeTopology.MatchLabels {
			keys = append(keys, key)
		}
		for _, e := range c.NodeTopology.MatchExpressions {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func selectorKeys(s *corev1.NodeSelector) (keys []string) {
	if s == nil {
		return nil
	}
	for _, t := range s.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			keys = append(keys, e.Key)
		}
	}
	return keys
}

func affinityOf(v *corev1.PersistentVolume) *corev1.NodeSelector {
	if v == nil || v.Spec.NodeAffinity == nil {
		return nil
	}
	return v.Spec.NodeAffinity.Required
}
