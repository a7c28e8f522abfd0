package loop_test

import (
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// A pod that the scheduler goes on refusing where it should fit gets a node, once, and
// is told about; scale-down then leaves that node to it.
func TestSchedulerThatDisagrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, &awssim.World{})
		f.group("workers", 1, 1, "us-west-2a")
		f.join()
		stop := f.run()
		defer stop()
		bubble.Sleep(time.Minute)
		f.pend(1, "refused", "100m", "64Mi")
		pods, err := f.kube.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
		f.ok(err)
		pod := pods.Items[0]
		pod.Status.Conditions[0].LastTransitionTime = metav1.Now()
		_, err = f.kube.CoreV1().Pods("default").UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{})
		f.ok(err)
		bubble.Sleep(20 * time.Second)
		if n := f.desired("workers"); n != 1 {
			t.Fatalf("desired is %d before there was time to tell", n)
		}
		bubble.Sleep(2 * time.Minute)
		if n := f.desired("workers"); n != 2 {
			t.Fatalf("desired is %d: the pod waits for a node that the scheduler refuses", n)
		}
		if n := f.eventsWith("SchedulerDisagrees"); n != 1 {
			t.Errorf("told %d times", n)
		}
		f.join()
		bubble.Sleep(2 * time.Hour)
		if n := f.desired("workers"); n > 2 {
			t.Errorf("desired is %d after two hours: one doubt buys nodes once", n)
		}
	})
}
