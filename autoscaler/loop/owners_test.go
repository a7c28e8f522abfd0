package loop_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// A pod whose ReplicaSet is gone keeps its node: no one would make it again. Once the
// ReplicaSet is there, with enough replicas, the pod moves.
func TestPodWithoutItsControllerKeepsItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "scaleDown: {drainTimeout: 1m, unneededTime: 2m, minReplicaCount: 2}")
		(&simcluster.Evictions{}).In(f.kube)
		f.group("workers", 0, 2)
		f.join()
		for i, n := range f.nodes() {
			f.runOn(n.Name, []string{"small", "large"}[i], []string{"100m", "1500m"}[i], false)
		}
		defer f.run()()
		bubble.Sleep(10 * time.Minute)
		f.keeps(t, "does not exist: ReplicaSet rs")
		replicas := int32(1)
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "rs", UID: "rs"}, Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
		f.ok(f.kube.Tracker().Add(rs))
		bubble.Sleep(10 * time.Minute)
		f.keeps(t, "replica")
		replicas = 2
		f.ok(f.kube.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("replicasets"), rs.DeepCopy(), "default"))
		bubble.Sleep(10 * time.Minute)
		if n := len(f.running("workers")); n != 1 {
			t.Errorf("%d instances run, want 1: %+v", n, f.decisions()[0].Needed)
		}
	})
}

// keeps checks that both nodes stay, one of them for a reason.
func (f *fixture) keeps(t *testing.T, why string) {
	t.Helper()
	told := ""
	for _, s := range f.decisions()[0].Needed {
		told += s.Reason + "; "
	}
	if n := len(f.running("workers")); n != 2 || !strings.Contains(told, why) {
		t.Errorf("%d instances run, and it is told: %s; want 2, and %q", n, told, why)
	}
}
