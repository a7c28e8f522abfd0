package observe_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/observe"
)

func counter(n *atomic.Int32) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{AddFunc: func(any) { n.Add(1) }}
}

func TestEachKindIsWatchedOnce(t *testing.T) {
	client := fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "x"}})
	s := observe.NewStore(client)
	ctx, cancel := context.WithCancel(t.Context())
	var nodes, pods atomic.Int32
	var stops []func()
	for range 5 {
		stop, err := s.FollowNodes(ctx, counter(&nodes))
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	if _, err := s.FollowPods(ctx, counter(&pods)); err != nil {
		t.Fatal(err)
	}
	if nodes.Load() != 5 || pods.Load() != 1 {
		t.Errorf("followers saw %d nodes and %d pods before Follow returned", nodes.Load(), pods.Load())
	}
	watches := map[string]int{}
	for _, a := range client.Actions() {
		if a.GetVerb() == "watch" {
			watches[a.GetResource().Resource]++
		}
	}
	if watches["nodes"] != 1 || watches["pods"] != 1 || len(watches) != 2 {
		t.Errorf("watches: %v", watches)
	}
	all, err := s.AllNodes()
	if err != nil || len(all) != 1 {
		t.Errorf("%d nodes, %v", len(all), err)
	}
	// A follower that stopped, as a service that is run again, hears no more.
	stops[0]()
	if _, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); nodes.Load() < 9 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if nodes.Load() != 9 {
		t.Errorf("four followers of five saw %d nodes: expected 9", nodes.Load())
	}
	cancel()
	s.Shutdown()
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := observe.NewStore(fake.NewClientset()).FollowNodes(ctx, counter(new(atomic.Int32))); err == nil {
		t.Error("no error")
	}
}

// TestNothingIsKeptThatNoServiceReads measures what an outsider can make the leader
// keep.
func TestNothingIsKeptThatNoServiceReads(t *testing.T) {
	big := strings.Repeat("x", 250<<10)
	meta := metav1.ObjectMeta{Name: "a", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: big}}, Annotations: map[string]string{
		"example.com/foreign": big, "joinery.dev/big": big, v1alpha1.STSProofAnnotation: "proof", "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
	}}
	for _, test := range []struct {
		name string
		obj  any
		most int
	}{
		{"node", &corev1.Node{ObjectMeta: *meta.DeepCopy(), Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{Names: []string{big}}},
			NodeInfo: corev1.NodeSystemInfo{KernelVersion: big}}}, 1 << 10},
		{"pod", &corev1.Pod{ObjectMeta: *meta.DeepCopy(), Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Args: []string{big}, Env: []corev1.EnvVar{{Value: big}}}}},
			Status: corev1.PodStatus{Message: big, ContainerStatuses: []corev1.ContainerStatus{{Image: big}}}}, 1 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := observe.Slim(test.obj)
			if err != nil {
				t.Fatal(err)
			}
			size := got.(interface{ Size() int }).Size()
			if size > test.most {
				t.Errorf("%d bytes are kept: expected at most %d", size, test.most)
			}
			m := got.(metav1.Object)
			if m.GetName() != "a" || m.GetAnnotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "true" {
				t.Errorf("lost: %v", got)
			}
		})
	}
}

// TestSlimKeepsWhatTheSchedulerReads: without these a plan takes a bound claim for one
// that is not, and looks for its volume on the wrong nodes.
func TestSlimKeepsWhatTheSchedulerReads(t *testing.T) {
	for _, key := range []string{
		"pv.kubernetes.io/bind-completed", "volume.kubernetes.io/selected-node", "volume.beta.kubernetes.io/storage-class",
		"storage.alpha.kubernetes.io/migrated-plugins",
	} {
		got, err := observe.Slim(&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{key: "x", "example.com/foreign": "y"}}})
		if err != nil {
			t.Fatal(err)
		}
		if a := got.(metav1.Object).GetAnnotations(); a[key] != "x" || len(a) != 1 {
			t.Errorf("of annotation %s and a foreign one %v is kept", key, a)
		}
	}
}
