package clustertest

import (
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// RandomStorage makes a small cluster out of a seed in which volumes alone decide
// where pods fit, with every kind of claim, volume, driver and leftover.
func RandomStorage(seed uint64) cluster.Input {
	r := rand.New(rand.NewPCG(seed, 11))
	g := Group("workers", 0, 4, 6, "16", "64Gi", allZones...)
	w := storageWorld{r: r, in: cluster.Input{Now: Now}}
	w.classes()
	for i := range 1 + r.IntN(3) {
		w.node(Join(&g, fmt.Sprint("i-", i), allZones[i]))
	}
	if r.IntN(2) == 0 {
		g.Template.AttachLimits = map[string]int32{EBSDriver: int32(r.IntN(3))}
	}
	w.in.Groups = []cluster.Group{g}
	for i := range 4 + r.IntN(8) {
		w.claim(fmt.Sprint("claim-", i))
	}
	w.attachments()
	for i := range r.IntN(8) {
		w.pod(Running(fmt.Sprint("run-", i), w.in.Nodes[r.IntN(len(w.in.Nodes))].Name, "10m", "1Mi"))
	}
	for i := range 2 + r.IntN(6) {
		w.pod(Pending(fmt.Sprint("wait-", i), "10m", "1Mi"))
	}
	return w.in
}

type storageWorld struct {
	r  *rand.Rand
	in cluster.Input
}

// the drivers of random storage: volumes that are attached anywhere in a zone, and
// such that are a node's own and of which there is little.
const (
	inTreeEBS   = "kubernetes.io/aws-ebs"
	localDriver = "local.csi.example.com"
	shelfLabel  = "local.csi.example.com/shelf"
)

func (w *storageWorld) some(n int) bool { return w.r.IntN(n) == 0 }

func (w *storageWorld) classes() {
	late, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	for _, c := range []struct {
		name, provisioner string
		mode              *storagev1.VolumeBindingMode
	}{
		{"gp3", EBSDriver, &late}, {"gp2", inTreeEBS, &late}, {"now", EBSDriver, &now}, {"made-by-hand", "kubernetes.io/no-provisioner", &late},
		{"local", localDriver, &late}, {"no-mode", EBSDriver, nil},
	} {
		class := StorageClass(c.name, late)
		class.Provisioner, class.VolumeBindingMode = c.provisioner, c.mode
		if w.some(5) {
			class.AllowedTopologies = StorageClass("", late, allZones[w.r.IntN(3)]).AllowedTopologies
		}
		w.in.StorageClasses = append(w.in.StorageClasses, class)
	}
	for _, name := range []string{EBSDriver, localDriver} {
		d := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: name}}
		yes, must := name == localDriver && !w.some(4), w.some(3)
		d.Spec.StorageCapacity, d.Spec.PreventPodSchedulingIfMissing, d.Spec.AttachRequired = &yes, &must, &yes
		if !w.some(4) {
			w.in.CSIDrivers = append(w.in.CSIDrivers, d)
		}
	}
	for i := range w.r.IntN(3) {
		room := resource.MustParse([]string{"5Gi", "10Gi", "100Gi"}[w.r.IntN(3)])
		c := &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: fmt.Sprint("room-", i)}, StorageClassName: "local", Capacity: &room}
		if !w.some(5) {
			c.NodeTopology = &metav1.LabelSelector{MatchLabels: map[string]string{shelfLabel: fmt.Sprint(i)}}
		}
		if w.some(3) {
			most := resource.MustParse("8Gi")
			c.MaximumVolumeSize = &most
		}
		w.in.CSIStorageCapacities = append(w.in.CSIStorageCapacities, c)
	}
}

func (w *storageWorld) node(n *corev1.Node) {
	if !w.some(4) {
		n.CreationTimestamp = metav1.NewTime(Now.Add(-24 * time.Hour))
	}
	n.Labels[shelfLabel] = fmt.Sprint(len(w.in.Nodes))
	if !w.some(3) {
		n.Labels["topology.ebs.csi.aws.com/zone"] = n.Labels[corev1.LabelTopologyZone]
	}
	if w.some(6) {
		delete(n.Labels, corev1.LabelTopologyZone)
	}
	w.in.Nodes = append(w.in.Nodes, n)
	if w.some(5) {
		return
	}
	csi := CSINode(n.Name, int32(w.r.IntN(4)))
	if w.some(4) {
		csi.Spec.Drivers[0].Allocatable = nil
	}
	if w.some(3) {
		csi.Spec.Drivers = append(csi.Spec.Drivers, storagev1.CSINodeDriver{Name: localDriver, NodeID: n.Name})
	}
	if w.some(2) {
		csi.Annotations = map[string]string{corev1.MigratedPluginsAnnotationKey: "kubernetes.io/gce-pd," + inTreeEBS}
	}
	w.in.CSINodes = append(w.in.CSINodes, csi)
}

func (w *storageWorld) claim(name string) {
	class := []string{"gp3", "gp3", "gp2", "gp2", "now", "made-by-hand", "local", "local", "no-mode", "missing"}[min(w.r.IntN(16), w.r.IntN(10))]
	mode := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadWriteOncePod}[w.r.IntN(9)%4%3]
	c := Claim(name, class, mode)
	pv := w.volume("pv-"+name, class)
	switch w.r.IntN(6) {
	case 0, 1, 2:
		Bind(c, pv)
	case 3:
		// Kept for the claim by hand.
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: c.Namespace, Name: c.Name}
	case 4:
		pv = nil
	}
	if pv != nil && !w.some(12) {
		w.in.PersistentVolumes = append(w.in.PersistentVolumes, pv)
	}
	switch w.r.IntN(14) {
	case 0:
		c.DeletionTimestamp = &metav1.Time{Time: Now}
	case 1:
		c.Status.Phase = corev1.ClaimLost
	case 2:
		c.Annotations = map[string]string{"volume.kubernetes.io/selected-node": w.in.Nodes[w.r.IntN(len(w.in.Nodes))].Name}
	case 3:
		c.Spec.StorageClassName = nil
		metav1.SetMetaDataAnnotation(&c.ObjectMeta, corev1.BetaStorageClassAnnotation, class)
	case 4:
		c.Spec.VolumeName = "pv-" + name
	}
	if !w.some(12) {
		w.in.PersistentVolumeClaims = append(w.in.PersistentVolumeClaims, c)
	}
}

// volume makes a volume of the class: of a CSI driver, or of the plugin that it has
// replaced.
func (w *storageWorld) volume(name, class string) *corev1.PersistentVolume {
	zone := append([]string{""}, allZones...)[w.r.IntN(4)]
	pv := PersistentVolume(name, class, zone)
	pv.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce, corev1.ReadWriteMany, corev1.ReadWriteOncePod}[:1+w.r.IntN(3)]
	if class == "gp2" || w.some(5) {
		pv.Spec.CSI, pv.Spec.AWSElasticBlockStore = nil, &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "aws://us-west-2a/vol-" + name}
	} else if w.some(4) {
		// Several volumes of one file system have one handle.
		pv.Spec.CSI.VolumeHandle = "fs-1"
	}
	switch w.r.IntN(6) {
	case 0:
		pv.Labels = map[string]string{corev1.LabelTopologyZone: allZones[w.r.IntN(3)]}
	case 1:
		pv.Labels = map[string]string{corev1.LabelFailureDomainBetaZone: "us-west-2a__us-west-2b"}
	}
	if w.some(5) {
		pv.Spec.Capacity = List("storage", "5Gi")
	}
	return pv
}

// attachments leaves volumes on nodes, whether a pod there uses them or not.
func (w *storageWorld) attachments() {
	for _, pv := range w.in.PersistentVolumes {
		if !w.some(3) {
			continue
		}
		name := pv.Name
		a := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "csi-" + name}}
		a.Spec.Attacher, a.Spec.NodeName = EBSDriver, w.in.Nodes[w.r.IntN(len(w.in.Nodes))].Name
		a.Spec.Source.PersistentVolumeName = &name
		w.in.VolumeAttachments = append(w.in.VolumeAttachments, a)
	}
}

func (w *storageWorld) pod(p *corev1.Pod) {
	OwnedBy("StatefulSet", "db")(p)
	for i := range 1 + w.r.IntN(3) {
		switch {
		case w.some(6):
			w.ephemeral(p, fmt.Sprint("scratch-", i))
		case w.some(8) && p.Spec.NodeName != "":
			Volume(fmt.Sprint("disk-", i), corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: fmt.Sprint("vol-disk-", p.Name, i)}})(p)
		default:
			claim := fmt.Sprint("claim-", w.r.IntN(10))
			Volume(fmt.Sprint("data-", i), corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}})(p)
		}
	}
	w.in.Pods = append(w.in.Pods, p)
}

// ephemeral gives the pod a volume whose claim is made for it, unless somebody else's
// is in the way.
func (w *storageWorld) ephemeral(p *corev1.Pod, name string) {
	Volume(name, corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}})(p)
	c := Claim(p.Name+"-"+name, "gp3")
	c.Namespace = p.Namespace
	if !w.some(4) {
		yes := true
		c.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID, Controller: &yes}}
	} else if p.Spec.NodeName != "" {
		return // the scheduler looks at no node where a pod has somebody else's claim
	}
	w.in.PersistentVolumeClaims = append(w.in.PersistentVolumeClaims, c)
}
