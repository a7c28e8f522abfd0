package cluster

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/component-helpers/storage/ephemeral"
	storagevolume "k8s.io/component-helpers/storage/volume"
)

// VolumeNeeds is what the claims of one pod ask of a node.
type VolumeNeeds struct {
	// Refused says why the pod cannot be placed on any node now. Empty when it
	// can.
	Refused string
	// Attach: CSI driver -> volumes to attach that are counted, whichever they are.
	Attach []Attachment
	// Named are further volumes to attach that must be told apart: another pod uses
	// them too, so that they count once on a node, or they are attached already.
	Named []Volume
	// Text is the same for equal needs.
	Text string

	bound   []boundVolume
	zones   []labelValues
	unbound []unboundClaim
	// drivers must be registered on the node.
	drivers []neededDriver
}

// neededDriver is a driver that must be registered. One that is needed for volumes
// of the in-tree plugin only which it has replaced is not asked for on a node of which
// no driver says anything.
type neededDriver struct {
	name     string
	replaced bool
}

// Attachment is a number of volumes of one driver.
type Attachment struct {
	Driver string
	Count  int64
}

// Volume is one volume as a CSI driver knows it.
type Volume struct{ Driver, Handle string }

func compareVolumes(a, b Volume) int {
	return cmp.Or(cmp.Compare(a.Driver, b.Driver), cmp.Compare(a.Handle, b.Handle))
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

// needs looks up the claims of a pod.
func (s *storage) needs(pod *corev1.Pod) *VolumeNeeds {
	n := &VolumeNeeds{}
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; claimName(v) {
			if n.Refused = s.addClaim(n, pod, v); n.Refused != "" {
				break
			}
		}
	}
	slices.SortFunc(n.Attach, func(a, b Attachment) int { return cmp.Compare(a.Driver, b.Driver) })
	slices.SortFunc(n.Named, compareVolumes)
	n.Named = slices.Compact(n.Named)
	// The scheduler looks for the smallest claim's volume first.
	slices.SortStableFunc(n.unbound, func(a, b unboundClaim) int { return a.size.Cmp(b.size) })
	slices.SortFunc(n.drivers, func(a, b neededDriver) int { return cmp.Compare(a.name, b.name) })
	n.Text = n.text()
	return n
}

func (s *storage) addClaim(n *VolumeNeeds, pod *corev1.Pod, v *corev1.Volume) (refused string) {
	key := claimKey(pod, v)
	claim := s.claims[key]
	switch {
	case claim == nil:
		return fmt.Sprintf("persistent volume claim %s does not exist", key.Name)
	case claim.DeletionTimestamp != nil:
		return fmt.Sprintf("persistent volume claim %s is being deleted", key.Name)
	case claim.Status.Phase == corev1.ClaimLost:
		return fmt.Sprintf("persistent volume claim %s has lost its volume", key.Name)
	case v.Ephemeral != nil && ephemeral.VolumeIsForPod(pod, claim) != nil:
		return fmt.Sprintf("persistent volume claim %s was not made for the pod, whose ephemeral volume has its name", key.Name)
	}
	if user := s.users[key]; user != nil && user.UID != pod.UID && v.Ephemeral == nil {
		return fmt.Sprintf("persistent volume claim %s is for one pod alone and pod %s has it", key.Name, user.Name)
	}
	s.attach(n, claim)
	if claim.Spec.VolumeName == "" {
		return s.addUnbound(n, pod, claim)
	}
	if _, complete := claim.Annotations[storagevolume.AnnBindCompleted]; !complete {
		return fmt.Sprintf("persistent volume claim %s is not bound yet", key.Name)
	}
	return s.addBound(n, claim, v.Ephemeral == nil)
}

// attach counts the claim's volume, if it is one that the scheduler counts.
func (s *storage) attach(n *VolumeNeeds, claim *corev1.PersistentVolumeClaim) {
	v, replaced := s.volumeOf(claim)
	if v == (Volume{}) {
		return
	}
	if d := s.drivers[v.Driver]; d != nil && d.Spec.PreventPodSchedulingIfMissing != nil && *d.Spec.PreventPodSchedulingIfMissing {
		n.drivers = append(n.drivers, neededDriver{v.Driver, replaced})
	}
	if s.named[v] {
		n.Named = append(n.Named, v)
		return
	}
	if i := slices.IndexFunc(n.Attach, func(a Attachment) bool { return a.Driver == v.Driver }); i >= 0 {
		n.Attach[i].Count++
		return
	}
	n.Attach = append(n.Attach, Attachment{v.Driver, 1})
}

// addUnbound adds where a volume can be made or found once the pod has a node.
func (s *storage) addUnbound(n *VolumeNeeds, pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) (refused string) {
	name := storagevolume.GetPersistentVolumeClaimClass(claim)
	class := s.classes[name]
	switch {
	case class == nil:
		return fmt.Sprintf("persistent volume claim %s is not bound, and its storage class %q does not exist", claim.Name, name)
	case class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer:
		return fmt.Sprintf("persistent volume claim %s is not bound yet", claim.Name)
	}
	u := s.unboundClaim(claim, class)
	// The pod that is placed first decides where the volume is made, and all
	// others must follow it: they wait until that is known.
	key := keyOf(claim)
	if first := s.first[key]; u.node == "" && first != nil && first.UID != pod.UID {
		return fmt.Sprintf("persistent volume claim %s is not bound yet: it will be made where pod %s runs", claim.Name, first.Name)
	} else if first == nil {
		s.first[key] = pod
	}
	n.unbound = append(n.unbound, u)
	return ""
}

func (v *VolumeNeeds) text() string {
	e := encoder{}
	e.str(v.Refused)
	for _, a := range v.Attach {
		e.str(a.Driver)
		e.num(a.Count)
	}
	e.num(-1)
	for _, a := range v.Named {
		e.str(a.Driver)
		e.str(a.Handle)
	}
	e.num(-1)
	for i := range v.bound {
		e.str(v.bound[i].plugin)
		e.nodeSelector(affinityOf(v.bound[i].volume))
		e.nodeSelector(affinityOf(v.bound[i].translated))
	}
	for _, z := range v.zones {
		e.str(z.key)
		e.strs(z.values)
	}
	e.num(-1)
	for i := range v.unbound {
		v.unbound[i].write(&e)
	}
	for _, d := range v.drivers {
		e.str(d.name)
		e.flag(d.replaced)
	}
	return string(e.buf)
}
