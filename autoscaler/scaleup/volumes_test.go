package scaleup_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// disks is a group with one node that is all but empty and takes one EBS volume, and
// a pod that waits with claim data of the class.
type disks struct {
	in    cluster.Input
	node  *corev1.Node
	csi   *storagev1.CSINode
	claim *corev1.PersistentVolumeClaim
}

func newDisks(class string) *disks {
	g := ct.Group("workers", 0, 1, 5, "2", "4Gi", "us-west-2a")
	d := &disks{node: ct.Join(&g, "i-1", "us-west-2a"), claim: ct.Claim("data", class)}
	d.node.CreationTimestamp = metav1.NewTime(now.Add(-24 * time.Hour))
	d.csi = ct.CSINode(d.node.Name, 1)
	d.in = cluster.Input{
		Groups: []cluster.Group{g}, Nodes: []*corev1.Node{d.node}, CSINodes: []*storagev1.CSINode{d.csi},
		StorageClasses:         []*storagev1.StorageClass{ct.StorageClass(class, storagev1.VolumeBindingWaitForFirstConsumer)},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{d.claim},
		Pods:                   []*corev1.Pod{ct.Pending("db-0", "500m", "512Mi", ct.Uses("data"))},
	}
	return d
}

// bind gives the claim a volume in the zone.
func (d *disks) bind(claim *corev1.PersistentVolumeClaim, zone string) *corev1.PersistentVolume {
	pv := ct.PersistentVolume("pv-"+claim.Name, *claim.Spec.StorageClassName, zone)
	ct.Bind(claim, pv)
	d.in.PersistentVolumes = append(d.in.PersistentVolumes, pv)
	return pv
}

// run has a pod with the claim on the node.
func (d *disks) run(pod, claim string) *corev1.PersistentVolumeClaim {
	c := ct.Claim(claim, *d.claim.Spec.StorageClassName)
	d.in.PersistentVolumeClaims = append(d.in.PersistentVolumeClaims, c)
	d.in.Pods = append(d.in.Pods, ct.Running(pod, d.node.Name, "100m", "64Mi", ct.Uses(claim)))
	d.bind(c, "")
	return c
}

func (d *disks) left(pv string) {
	a := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "csi-" + pv}}
	a.Spec.Attacher, a.Spec.NodeName, a.Spec.Source.PersistentVolumeName = ct.EBSDriver, d.node.Name, &pv
	d.in.VolumeAttachments = append(d.in.VolumeAttachments, a)
}

func (d *disks) driver(f func(*storagev1.CSIDriverSpec)) {
	driver := &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: ct.EBSDriver}}
	f(&driver.Spec)
	d.in.CSIDrivers = append(d.in.CSIDrivers, driver)
}

func (d *disks) capacity(size, zone string) {
	q := resource.MustParse(size)
	d.in.CSIStorageCapacities = append(d.in.CSIStorageCapacities, &storagev1.CSIStorageCapacity{
		ObjectMeta:       metav1.ObjectMeta{Namespace: "kube-system", Name: "room-" + zone},
		StorageClassName: *d.claim.Spec.StorageClassName, Capacity: &q,
		NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelTopologyZone: zone}},
	})
}

// "Fits on node-1" is said only where the scheduler would put the pod: in each of
// these worlds the node has room in all but what is named.
func TestVolumesKeepPodsAway(t *testing.T) {
	yes := true
	const grows, waits, none = "workers 1->2(1) waiting 0 unhelped 0", "waiting 1 unhelped 0", "waiting 0 unhelped 1"
	inTree := func() *disks {
		d := newDisks("gp2")
		d.in.StorageClasses[0].Provisioner = "kubernetes.io/aws-ebs"
		return d
	}
	tests := []struct {
		name string
		in   func() *disks
		want string
	}{
		{"nothing", func() *disks { return newDisks("gp3") }, waits},
		{"an unbound claim of an in-tree class counts as its CSI driver's", func() *disks {
			d := inTree()
			d.run("run", "other")
			return d
		}, grows},
		{"a volume that is left from a pod that is gone", func() *disks {
			d := newDisks("gp3")
			old := ct.PersistentVolume("old", "gp3", "")
			d.in.PersistentVolumes = append(d.in.PersistentVolumes, old)
			d.left("old")
			return d
		}, grows},
		{"an attachment of a pod that runs counts once", func() *disks {
			d := newDisks("gp3")
			d.run("run", "other")
			d.left("pv-other")
			*d.csi.Spec.Drivers[0].Allocatable.Count = 2
			return d
		}, waits},
		{"the pod's own volume, still attached there, counts twice for the scheduler", func() *disks {
			d := newDisks("gp3")
			d.bind(d.claim, "us-west-2a")
			d.left("pv-data")
			return d
		}, grows},
		{"a driver that must be on the node and is not", func() *disks {
			d := newDisks("gp3")
			d.driver(func(s *storagev1.CSIDriverSpec) { s.PreventPodSchedulingIfMissing = &yes })
			d.csi.Spec.Drivers = nil
			return d
		}, grows},
		{"a driver that need not be on the node", func() *disks {
			d := newDisks("gp3")
			d.driver(func(*storagev1.CSIDriverSpec) {})
			d.csi.Spec.Drivers = nil
			return d
		}, waits},
		{"too little storage in the node's zone", func() *disks {
			d := newDisks("local")
			d.in.Groups[0].Zones = []string{"us-west-2a", "us-west-2b"}
			d.driver(func(s *storagev1.CSIDriverSpec) { s.StorageCapacity = &yes })
			d.capacity("5Gi", "us-west-2a")
			d.capacity("50Gi", "us-west-2b")
			return d
		}, grows},
		{"enough storage in the node's zone", func() *disks {
			d := newDisks("local")
			d.driver(func(s *storagev1.CSIDriverSpec) { s.StorageCapacity = &yes })
			d.capacity("10Gi", "us-west-2a")
			return d
		}, waits},
		{"a driver that does not count its storage", func() *disks {
			d := newDisks("local")
			d.driver(func(*storagev1.CSIDriverSpec) {})
			d.capacity("5Gi", "us-west-2a")
			return d
		}, waits},
		{"a resident whose claim is being deleted has its volume still", func() *disks {
			d := newDisks("gp3")
			d.run("run", "other").DeletionTimestamp = &metav1.Time{Time: now}
			return d
		}, grows},
		{"a resident that names its disk itself", func() *disks {
			d := newDisks("gp3")
			disk := corev1.VolumeSource{AWSElasticBlockStore: &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}}
			d.in.Pods = append(d.in.Pods, ct.Running("run", d.node.Name, "100m", "64Mi", ct.Volume("disk", disk)))
			return d
		}, grows},
		{"a volume of an in-tree plugin that the driver has replaced on the node", func() *disks {
			d := inTree()
			pv := d.bind(d.claim, "us-west-2a")
			pv.Spec.CSI, pv.Spec.AWSElasticBlockStore = nil, &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}
			d.csi.Annotations = map[string]string{corev1.MigratedPluginsAnnotationKey: "kubernetes.io/aws-ebs"}
			delete(d.node.Labels, "topology.ebs.csi.aws.com/zone")
			return d
		}, grows},
		{"the same where the driver has set its label", func() *disks {
			d := inTree()
			pv := d.bind(d.claim, "us-west-2a")
			pv.Spec.CSI, pv.Spec.AWSElasticBlockStore = nil, &corev1.AWSElasticBlockStoreVolumeSource{VolumeID: "vol-1"}
			d.csi.Annotations = map[string]string{corev1.MigratedPluginsAnnotationKey: "kubernetes.io/aws-ebs"}
			d.node.Labels["topology.ebs.csi.aws.com/zone"] = "us-west-2a"
			return d
		}, waits},
		{"pods that share a volume take one of it", func() *disks {
			d := newDisks("gp3")
			d.bind(d.claim, "")
			d.in.Pods = append(d.in.Pods, ct.Running("run", d.node.Name, "100m", "64Mi", ct.Uses("data")), ct.Pending("db-1", "500m", "512Mi", ct.Uses("data")))
			return d
		}, "waiting 2 unhelped 0"},
		{"a claim whose volume is being made for another node", func() *disks {
			d := newDisks("gp3")
			d.claim.Annotations = map[string]string{"volume.kubernetes.io/selected-node": "other"}
			return d
		}, none},
		{"a claim that names a volume and is not bound to it yet", func() *disks {
			d := newDisks("gp3")
			d.bind(d.claim, "")
			d.claim.Annotations = nil
			return d
		}, none},
		{"a volume that is made by hand and is elsewhere", func() *disks {
			d := newDisks("by-hand")
			d.in.StorageClasses[0].Provisioner = "kubernetes.io/no-provisioner"
			d.in.Groups[0].Zones = []string{"us-west-2a", "us-west-2b"}
			d.in.PersistentVolumes = []*corev1.PersistentVolume{ct.PersistentVolume("made", "by-hand", "us-west-2b")}
			return d
		}, grows},
		{"a volume that is made by hand and is there", func() *disks {
			d := newDisks("by-hand")
			d.in.StorageClasses[0].Provisioner = "kubernetes.io/no-provisioner"
			d.in.PersistentVolumes = []*corev1.PersistentVolume{ct.PersistentVolume("made", "by-hand", "us-west-2a")}
			return d
		}, waits},
		{"an ephemeral volume whose claim is somebody else's", func() *disks {
			d := newDisks("gp3")
			d.claim.Name = "db-0-scratch"
			d.in.Pods = []*corev1.Pod{ct.Pending("db-0", "500m", "512Mi", ct.Volume("scratch", corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}))}
			return d
		}, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := brief(checked(t, tt.in().in, scaleup.Options{})); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
