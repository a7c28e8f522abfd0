package loop

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/observe"
)

func TestSettingsReachThePlanners(t *testing.T) {
	c, err := v1alpha1.DecodeControllerConfig([]byte("apiVersion: joinery.dev/v1alpha1\nkind: ControllerConfig\nspec: {cluster: demo, endpoint: 'api:6443', approver: {stsProof: off}, autoscaler: " +
		"{maxTotalUnreadyPercentage: 20, okTotalUnreadyCount: 0, balancingIgnoreLabels: [rack], balancingMemoryRatio: 0, balancingFreeRatio: 1, limits: {maxNodes: 7, cores: 40, memory: 1Ti}, scaleDown: {utilizationThreshold: 0, delayAfterDelete: 1m, moveSystemPods: true, maxDrains: 3, minReplicaCount: 2, maxGrace: 20m, drainTimeout: 7m}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := &Loop{spec: c.Spec.Autoscaler}
	up, down := l.planOptions()
	if up.MaxNodesTotal != 7 || up.MaxCores != 40 || up.MaxMemory != 1<<40 {
		t.Errorf("limits are %+v", up)
	}
	if b := up.Balance; len(b.IgnoreLabels) != 1 || *b.Memory != 0 || *b.Allocatable != 0.05 || *b.Free != 1 {
		t.Errorf("balance is %+v", b)
	}
	if !(down.UtilizationThreshold > 0 && down.UtilizationThreshold < 1e-9) {
		t.Errorf("a threshold of 0 became %v, which the planner takes for its default", down.UtilizationThreshold)
	}
	if down.DelayAfterDelete != time.Minute || down.DelayAfterFailure != 3*time.Minute || down.UnreadyTime != 20*time.Minute || !down.MoveSystemPods || down.MoveLocalStorage {
		t.Errorf("scale-down options are %+v", down)
	}
	if u := unready(l.spec); u == nil || u.Percent != 20 || u.Count != 0 {
		t.Errorf("limits of unready nodes are %+v", u)
	}
	if down.MinReplicaCount != 2 || down.MaxDrains != 3 || down.MaxGrace != 20*time.Minute || down.DrainTimeout != 7*time.Minute || down.MaxParallel != 10 {
		t.Errorf("drain options are %+v", down)
	}
	l.spec.ScaleDown.DrainPriorities = []v1alpha1.DrainPriority{{Priority: 9, Grace: metav1.Duration{Duration: time.Minute}}, {Priority: -9}}
	if _, down = l.planOptions(); down.MaxGrace >= 0 {
		t.Errorf("turns cut every grace period, and the planner still asks for one of %s at most", down.MaxGrace)
	}
	if got := turns(l.spec.ScaleDown); len(got) != 2 || got[0].Priority != -9 || got[1].Grace != time.Minute {
		t.Errorf("turns are %+v", got)
	}
}

func TestVolumesAreObserved(t *testing.T) {
	claim, volume, class, csi := &corev1.PersistentVolumeClaim{}, &corev1.PersistentVolume{}, &storagev1.StorageClass{}, &storagev1.CSINode{}
	attachment, driver, capacity := &storagev1.VolumeAttachment{}, &storagev1.CSIDriver{}, &storagev1.CSIStorageCapacity{}
	claim.Name, claim.Namespace, volume.Name, class.Name, csi.Name = "data", "default", "pv", "gp3", "node"
	attachment.Name, driver.Name, capacity.Name, capacity.Namespace = "csi-1", "ebs.csi.aws.com", "gp3-a", "kube-system"
	client := fake.NewClientset(claim, volume, class, csi, attachment, driver, capacity)
	w := newWorld(client, observe.NewStore(client))
	w.factory.StartWithContext(t.Context())
	w.factory.WaitForCacheSync(t.Context().Done())
	in, err := w.input(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for kind, n := range map[string]int{
		"claims": len(in.PersistentVolumeClaims), "volumes": len(in.PersistentVolumes), "classes": len(in.StorageClasses), "CSI nodes": len(in.CSINodes),
		"attachments": len(in.VolumeAttachments), "drivers": len(in.CSIDrivers), "capacities": len(in.CSIStorageCapacities),
	} {
		if n != 1 {
			t.Errorf("observed %d %s: expected one", n, kind)
		}
	}
}
