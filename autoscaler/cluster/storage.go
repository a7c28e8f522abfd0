package cluster

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
	storagevolume "k8s.io/component-helpers/storage/volume"
)

// storage answers what claims need. It is made for each snapshot, since claims
// and volumes change while their pods do not.
type storage struct {
	claims     map[types.NamespacedName]*corev1.PersistentVolumeClaim
	volumes    map[string]*corev1.PersistentVolume
	classes    map[string]*storagev1.StorageClass
	drivers    map[string]*storagev1.CSIDriver
	nodes      map[string]*storagev1.CSINode
	capacities map[string][]*storagev1.CSIStorageCapacity // storage class -> its own
	// free: storage class -> volumes that no claim has; kept: claim -> volumes that
	// are kept for it.
	free map[string][]*corev1.PersistentVolume
	kept map[types.NamespacedName][]*corev1.PersistentVolume
	// attachments: node -> volumes that are attached there, or being so.
	attachments map[string][]Volume

	// looked: what follows is known.
	looked bool
	// users: claim that one pod alone may use -> that pod.
	users map[types.NamespacedName]*corev1.Pod
	// named are volumes that must be told apart, see VolumeNeeds.Named.
	named map[Volume]bool
	// first: unbound claim -> the first pod that uses it.
	first map[types.NamespacedName]*corev1.Pod
	// derived: class and needs -> the class with its needs.
	derived map[string]*Class
	next    int // id of the next derived class
}

func newStorage(in *Input, firstID int) *storage {
	s := &storage{
		claims:      make(map[types.NamespacedName]*corev1.PersistentVolumeClaim, len(in.PersistentVolumeClaims)),
		volumes:     make(map[string]*corev1.PersistentVolume, len(in.PersistentVolumes)),
		classes:     make(map[string]*storagev1.StorageClass, len(in.StorageClasses)),
		drivers:     make(map[string]*storagev1.CSIDriver, len(in.CSIDrivers)),
		nodes:       make(map[string]*storagev1.CSINode, len(in.CSINodes)),
		capacities:  map[string][]*storagev1.CSIStorageCapacity{},
		free:        map[string][]*corev1.PersistentVolume{},
		kept:        map[types.NamespacedName][]*corev1.PersistentVolume{},
		attachments: map[string][]Volume{},
		users:       map[types.NamespacedName]*corev1.Pod{}, named: map[Volume]bool{}, first: map[types.NamespacedName]*corev1.Pod{},
		derived: map[string]*Class{}, next: firstID,
	}
	for _, c := range in.PersistentVolumeClaims {
		s.claims[keyOf(c)] = c
	}
	for _, c := range in.StorageClasses {
		s.classes[c.Name] = c
	}
	for _, d := range in.CSIDrivers {
		s.drivers[d.Name] = d
	}
	for _, n := range in.CSINodes {
		s.nodes[n.Name] = n
	}
	for _, c := range in.CSIStorageCapacities {
		s.capacities[c.StorageClassName] = append(s.capacities[c.StorageClassName], c)
	}
	s.setVolumes(in.PersistentVolumes)
	s.setAttachments(in.VolumeAttachments)
	return s
}

func (s *storage) setVolumes(list []*corev1.PersistentVolume) {
	for _, v := range list {
		s.volumes[v.Name] = v
		if ref := v.Spec.ClaimRef; ref != nil {
			// Of a claim that is bound nobody looks for a volume.
			key := types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
			if c := s.claims[key]; c != nil && c.Spec.VolumeName == "" {
				s.kept[key] = append(s.kept[key], v)
			}
			continue
		}
		class := storagevolume.GetPersistentVolumeClass(v)
		s.free[class] = append(s.free[class], v)
	}
	for _, free := range s.free {
		slices.SortFunc(free, func(a, b *corev1.PersistentVolume) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// setAttachments takes in the attachments as the scheduler does: those of volumes
// that are there and are of a CSI driver.
func (s *storage) setAttachments(list []*storagev1.VolumeAttachment) {
	for _, a := range list {
		name := a.Spec.Source.PersistentVolumeName
		if name == nil || a.Spec.Attacher == "" {
			continue
		}
		if v := s.volumes[*name]; v != nil && v.Spec.CSI != nil {
			s.attachments[a.Spec.NodeName] = append(s.attachments[a.Spec.NodeName], Volume{a.Spec.Attacher, v.Spec.CSI.VolumeHandle})
		}
	}
}

// look finds out who uses which volume, once somebody asks for the needs of a pod.
func (s *storage) look(nodes []*NodeState, waiting []Pod) {
	if s.looked {
		return
	}
	s.looked = true
	uses, at := map[Volume]int{}, map[Volume]string{}
	for _, n := range nodes {
		for i := range n.Residents {
			if p := &n.Residents[i]; p.Class.Claims {
				s.occupy(p.Pod)
				s.eachVolume(p.Pod, func(v Volume) { uses[v], at[v] = uses[v]+1, n.Name() })
			}
		}
	}
	for i := range waiting {
		if p := &waiting[i]; p.Class.Claims {
			s.eachVolume(p.Pod, func(v Volume) { uses[v]++ })
		}
	}
	for v, n := range uses {
		if n > 1 {
			s.named[v] = true
		}
	}
	for node, volumes := range s.attachments {
		for _, v := range volumes {
			if at[v] != node {
				s.named[v] = true
			}
		}
	}
}

// occupy remembers the claims that one pod alone may use.
func (s *storage) occupy(pod *corev1.Pod) {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.PersistentVolumeClaim == nil {
			continue
		}
		key := claimKey(pod, v)
		if c := s.claims[key]; c != nil && slices.Contains(c.Spec.AccessModes, corev1.ReadWriteOncePod) {
			s.users[key] = pod
		}
	}
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

func keyOf(c *corev1.PersistentVolumeClaim) types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
}

// claimKey is the claim that a volume of the pod stands for.
func claimKey(pod *corev1.Pod, v *corev1.Volume) types.NamespacedName {
	if v.PersistentVolumeClaim != nil {
		return types.NamespacedName{Namespace: pod.Namespace, Name: v.PersistentVolumeClaim.ClaimName}
	}
	return types.NamespacedName{Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, v)}
}
