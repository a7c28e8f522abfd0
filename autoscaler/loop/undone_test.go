package loop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// loner is a pod that runs on no node with other pods: its scheduler knows a rule that
// planners do not. It is made again whenever it is gone.
type loner struct {
	f     *fixture
	taken map[string]bool // nodes that are refused
	made  int
}

// live goes on for a while.
func (l *loner) live(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); bubble.Sleep(10 * time.Second) {
		l.f.join()
		l.forget()
		pods, err := l.f.kube.CoreV1().Pods("default").List(l.f.t.Context(), metav1.ListOptions{})
		l.f.ok(err)
		pods.Items = slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.Name == "resident" })
		if len(pods.Items) == 0 {
			l.made++
			name := fmt.Sprint("loner-", l.made)
			l.f.ok(l.f.kube.Tracker().Add(&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}))
			l.f.pend(1, name, "200m", "64Mi")
			continue
		}
		if p := &pods.Items[0]; p.Spec.NodeName == "" {
			l.schedule(p)
		}
	}
}

// forget deletes the Nodes of instances that ended.
func (l *loner) forget() {
	for _, in := range l.f.aws.Instances() {
		if in.State == awssim.Terminated {
			_ = l.f.kube.CoreV1().Nodes().Delete(l.f.t.Context(), simcluster.NodeOf(in).Name, metav1.DeleteOptions{})
		}
	}
}

func (l *loner) schedule(p *corev1.Pod) {
	for _, n := range l.f.nodes() {
		if l.taken[n.Name] || n.Spec.Unschedulable {
			continue
		}
		p.Spec.NodeName = n.Name
		p.Status.Phase, p.Status.Conditions = corev1.PodRunning, nil
		_, err := l.f.kube.CoreV1().Pods("default").Update(l.f.t.Context(), p, metav1.UpdateOptions{})
		l.f.ok(err)
		return
	}
	p.Status.Conditions[0].LastTransitionTime = metav1.Now()
	_, err := l.f.kube.CoreV1().Pods("default").UpdateStatus(l.f.t.Context(), p, metav1.UpdateOptions{})
	l.f.ok(err)
}

// A node is drained because its pod fits elsewhere. The scheduler disagrees, and another
// node is bought. That is not done again and again: the pod keeps its node for longer
// each time, and the next leader goes on with that.
func TestRemovalThatIsUndoneIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixtureWith(t, &awssim.World{}, "scaleDown: {delayAfterAdd: 1m, unneededTime: 2m}")
		(&simcluster.Evictions{}).In(f.kube)
		f.group("workers", 1, 2, "us-west-2a")
		f.join()
		l := &loner{f: f, taken: map[string]bool{f.nodes()[0].Name: true}}
		f.runOn(f.nodes()[0].Name, "resident", "500m", true)
		drained := func() int { return len(f.aws.CallsTo("autoscaling", "TerminateInstanceInAutoScalingGroup")) }
		stop := f.run()
		l.live(45 * time.Minute)
		first := drained()
		why := ""
		for _, n := range f.decisions()[0].Needed {
			why += n.Reason + "\n"
		}
		stop()
		f.metrics = prometheus.NewRegistry() // of another process
		f.lead("scaleDown: {delayAfterAdd: 1m, unneededTime: 2m}")
		defer f.run()()
		l.live(10 * time.Hour)
		if first == 0 || first > 2 {
			t.Errorf("%d nodes were drained in the first 45 minutes, want one or two", first)
		}
		if n := drained(); n > first+4 {
			t.Errorf("%d nodes were drained in the ten hours after, want at most 4", n-first)
		}
		if !strings.Contains(why, "MovedInVain") || !strings.Contains(why, "had to grow for it") {
			t.Errorf("nodes are kept for %q", why)
		}
	})
}
