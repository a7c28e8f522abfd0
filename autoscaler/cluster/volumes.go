package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	corev1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
)

// noProvisioner is the provisioner of volumes that somebody makes by hand.
const noProvisioner = "kubernetes.io/no-provisioner"

// VolumeNeeds is what the claims of one pod ask of a node.
type VolumeNeeds struct {
	// Refused says why the pod cannot be placed on any node now. Empty when it
	// can.
	Refused string
	// Attach: CSI driver -> volumes to attach.
	Attach []Attachment
	// Text is the same for equal needs.
	Text string

	affinities []*corev1.NodeSelector
	zones      []labelValues
	topologies [][]corev1.TopologySelectorTerm
}

// Attachment is a number of volumes of one driver.
type Attachment struct {
	Driver string
	Count  int64
}

// labelValues asks for one of some values of a node's label.
type labelValues struct {
	key    string
	values []string
}

// Allows reports whether volumes can be attached on a node with these labels.
func (v *VolumeNeeds) Allows(node *corev1.Node) bool {
	for _, a := range v.affinities {
		if ok, err := corev1helpers.MatchNodeSelectorTerms(node, a); err != nil || !ok {
			return false
		}
	}
	for _, z := range v.zones {
		if !slices.Contains(z.values, node.Labels[z.key]) {
			return false
		}
	}
	for _, t := range v.topologies {
		if !corev1helper.MatchTopologySelectorTerms(t, node.Labels) {
			return false
		}
	}
	return true
}

// LabelKeys are the labels that Allows looks at.
func (v *VolumeNeeds) LabelKeys() []string {
	var keys []string
	for _, a := range v.affinities {
		for _, t := range a.NodeSelectorTerms {
			for _, e := range t.MatchExpressions {
				keys = append(keys, e.Key)
			}
		}
	}
	for _, z := range v.zones {
		keys = append(keys, z.key)
	}
	for _, terms := range v.topologies {
		for _, t := range terms {
			for _, e := range t.MatchLabelExpressions {
				keys = append(keys, e.Key)
			}
		}
	}
	return keys
}

// claimName reports whether the volume stands for a persistent volume claim.
func claimName(v *corev1.Volume) bool {
	return v.PersistentVolumeClaim != nil || v.Ephemeral != nil
}

func hasClaims(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if claimName(&pod.Spec.Volumes[i]) {
			return true
		}
	}
	return false
}

// storage answers what claims need. It is made for each snapshot, since claims
// and volumes change while their pods do not.
type storage struct {
	claims  map[string]*corev1.PersistentVolumeClaim // namespace/name -> claim
	volumes map[string]*corev1.PersistentVolume
	classes map[string]*storagev1.StorageClass
	limits  map[string]map[string]int32 // node -> driver -> most volumes
	// users: namespace/name of a claim that one pod alone may use -> that pod.
	users map[string]*corev1.Pod
	// first: namespace/name of an unbound claim -> the first pod that uses it.
	first map[string]*corev1.Pod
	// derived: class and needs -> the class with its needs.
	derived map[string]*Class
	next    int // id of the next derived class
}

func newStorage(in *Input, firstID int) *storage {
	s := &storage{
		claims:  make(map[string]*corev1.PersistentVolumeClaim, len(in.PersistentVolumeClaims)),
		volumes: make(map[string]*corev1.PersistentVolume, len(in.PersistentVolumes)),
		classes: make(map[string]*storagev1.StorageClass, len(in.StorageClasses)),
		limits:  make(map[string]map[string]int32, len(in.CSINodes)),
		users:   map[string]*corev1.Pod{}, first: map[string]*corev1.Pod{}, derived: map[string]*Class{}, next: firstID,
	}
	for _, c := range in.PersistentVolumeClaims {
		s.claims[c.Namespace+"/"+c.Name] = c
	}
	for _, v := range in.PersistentVolumes {
		s.volumes[v.Name] = v
	}
	for _, c := range in.StorageClasses {
		s.classes[c.Name] = c
	}
	for _, n := range in.CSINodes {
		s.limits[n.Name] = attachLimits(n)
	}
	return s
}

func attachLimits(n *storagev1.CSINode) map[string]int32 {
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

// withNeeds gives the pod's class with what its claims need.
func (s *storage) withNeeds(pod *corev1.Pod, class *Class) *Class {
	needs := s.needs(pod)
	key := class.Key + "\x00" + needs.Text
	if c := s.derived[key]; c != nil {
		return c
	}
	c := *class
	c.ID, c.Key, c.Volumes = s.next, key, needs
	s.next++
	s.derived[key] = &c
	return &c
}

// needs looks up the claims of a pod.
func (s *storage) needs(pod *corev1.Pod) *VolumeNeeds {
	n := &VolumeNeeds{}
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if !claimName(v) {
			continue
		}
		name := pod.Name + "-" + v.Name // of a generic ephemeral volume
		if v.PersistentVolumeClaim != nil {
			name = v.PersistentVolumeClaim.ClaimName
		}
		if refused := s.addClaim(n, pod, name); refused != "" {
			n.Refused = refused
			break
		}
	}
	slices.SortFunc(n.Attach, func(a, b Attachment) int { return cmp.Compare(a.Driver, b.Driver) })
	n.Text = n.text()
	return n
}

func (s *storage) addClaim(n *VolumeNeeds, pod *corev1.Pod, name string) (refused string) {
	key := pod.Namespace + "/" + name
	claim := s.claims[key]
	switch {
	case claim == nil:
		return fmt.Sprintf("persistent volume claim %s does not exist", name)
	case claim.DeletionTimestamp != nil:
		return fmt.Sprintf("persistent volume claim %s is being deleted", name)
	case claim.Status.Phase == corev1.ClaimLost:
		return fmt.Sprintf("persistent volume claim %s has lost its volume", name)
	}
	if user := s.users[key]; user != nil && user.UID != pod.UID {
		return fmt.Sprintf("persistent volume claim %s is for one pod alone and pod %s has it", name, user.Name)
	}
	if claim.Spec.VolumeName != "" {
		return s.addVolume(n, claim)
	}
	// The pod that is placed first decides where the volume is made, and all
	// others must follow it: they wait until that is known.
	first := s.first[key]
	if first == nil {
		s.first[key] = pod
	} else if first.UID != pod.UID {
		return fmt.Sprintf("persistent volume claim %s is not bound yet: it will be made where pod %s runs", name, first.Name)
	}
	return s.addUnbound(n, claim)
}

// addVolume adds where a bound volume can be attached.
func (s *storage) addVolume(n *VolumeNeeds, claim *corev1.PersistentVolumeClaim) (refused string) {
	v := s.volumes[claim.Spec.VolumeName]
	if v == nil {
		return fmt.Sprintf("persistent volume %s of claim %s does not exist", claim.Spec.VolumeName, claim.Name)
	}
	if v.Spec.NodeAffinity != nil && v.Spec.NodeAffinity.Required != nil {
		n.affinities = append(n.affinities, v.Spec.NodeAffinity.Required)
	}
	for _, key := range zoneLabels {
		if value, ok := v.Labels[key]; ok {
			// Several zones of one volume are joined by two underscores.
			n.zones = append(n.zones, labelValues{key, strings.Split(value, "__")})
		}
	}
	switch {
	case v.Spec.CSI != nil:
		n.attach(v.Spec.CSI.Driver)
	case v.Spec.AWSElasticBlockStore != nil:
		n.attach("ebs.csi.aws.com") // in-tree volumes are migrated to the driver
	}
	return ""
}

// zoneLabels are the labels of a volume that plugin VolumeZone compares.
var zoneLabels = []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion}

// addUnbound adds where a volume can be made once the pod has a node.
func (s *storage) addUnbound(n *VolumeNeeds, claim *corev1.PersistentVolumeClaim) (refused string) {
	name := ""
	if claim.Spec.StorageClassName != nil {
		name = *claim.Spec.StorageClassName
	}
	class := s.classes[name]
	switch {
	case class == nil:
		return fmt.Sprintf("persistent volume claim %s is not bound, and its storage class %q does not exist", claim.Name, name)
	case class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer:
		return fmt.Sprintf("persistent volume claim %s is not bound yet", claim.Name)
	case class.Provisioner == noProvisioner:
		return fmt.Sprintf("persistent volume claim %s waits for a volume that is made by hand: not supported", claim.Name)
	}
	if len(class.AllowedTopologies) > 0 {
		n.topologies = append(n.topologies, class.AllowedTopologies)
	}
	n.attach(class.Provisioner)
	return ""
}

func (v *VolumeNeeds) attach(driver string) {
	for i := range v.Attach {
		if v.Attach[i].Driver == driver {
			v.Attach[i].Count++
			return
		}
	}
	v.Attach = append(v.Attach, Attachment{driver, 1})
}

func (v *VolumeNeeds) text() string {
	e := encoder{}
	e.str(v.Refused)
	for _, a := range v.Attach {
		e.str(a.Driver)
		e.num(a.Count)
	}
	e.num(-1)
	for _, a := range v.affinities {
		e.nodeSelector(a)
	}
	for _, z := range v.zones {
		e.str(z.key)
		e.strs(z.values)
	}
	e.num(-1)
	for _, terms := range v.topologies {
		for _, t := range terms {
			for _, x := range t.MatchLabelExpressions {
				e.str(x.Key)
				e.strs(x.Values)
			}
			e.num(-2)
		}
	}
	return string(e.buf)
}

// occupy remembers the claims that one pod alone may use.
func (s *storage) occupy(pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.PersistentVolumeClaim == nil {
			continue
		}
		key := pod.Namespace + "/" + v.PersistentVolumeClaim.ClaimName
		if c := s.claims[key]; c != nil && slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod) {
			s.users[key] = pod
		}
	}
}
