package rival_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/rival"
)

var now = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func lease(namespace, name, holder string, renewed time.Time, seconds int32) coordinationv1.Lease {
	return coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &metav1.MicroTime{Time: renewed}}}
}

// lockMeta carries a lock as client-go's EndpointsLock and ConfigMapLock write it.
func lockMeta(namespace, name, holder string, renewed time.Time) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{
		"control-plane.alpha.kubernetes.io/leader": fmt.Sprintf(`{"holderIdentity":%q,"leaseDurationSeconds":15,"acquireTime":"2026-11-30T00:00:00Z","renewTime":%q,"leaderTransitions":3}`, holder, renewed.Format(time.RFC3339)),
	}}
}

func statusMeta(namespace string, updated time.Time) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: "cluster-autoscaler-status", Annotations: map[string]string{
		"cluster-autoscaler.kubernetes.io/last-updated": updated.Format("2006-01-02 15:04:05.999999999 -0700 MST"),
	}}
}

func pod(namespace, name string, c corev1.Container) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "other", Image: "pause"}, c}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
}

func ended(p *corev1.Pod, phase corev1.PodPhase) *corev1.Pod { p.Status.Phase = phase; return p }

func on(p *corev1.Pod, node string) *corev1.Pod { p.Spec.NodeName = node; return p }

func ready(p *corev1.Pod) *corev1.Pod {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

func nodeReady(name string) bool { return name == "n" }

// Each trace by itself, where Cluster Autoscaler's users leave it.
func TestTraces(t *testing.T) {
	image := func(name string) corev1.Container { return corev1.Container{Image: name} }
	runs := func(words ...string) corev1.Container { return corev1.Container{Image: "x/y", Command: words} }
	just, old := now.Add(-time.Second), now.Add(-time.Hour)
	for name, tc := range map[string]struct {
		sight rival.Sight
		want  string // "" for none
	}{
		"its Lease in kube-system":           {rival.Sight{Leases: []coordinationv1.Lease{lease("kube-system", "cluster-autoscaler", "ca-0", just, 15)}}, "Cluster Autoscaler ca-0 (Lease kube-system/cluster-autoscaler)"},
		"its Lease in another namespace":     {rival.Sight{Leases: []coordinationv1.Lease{lease("scaling", "cluster-autoscaler", "ca-0", just, 15)}}, "Lease scaling/cluster-autoscaler"},
		"a Lease that ran out":               {rival.Sight{Leases: []coordinationv1.Lease{lease("kube-system", "cluster-autoscaler", "ca-0", old, 15)}}, ""},
		"a Lease that was given back":        {rival.Sight{Leases: []coordinationv1.Lease{lease("kube-system", "cluster-autoscaler", "", just, 15)}}, ""},
		"a Lease without times":              {rival.Sight{Leases: []coordinationv1.Lease{{ObjectMeta: metav1.ObjectMeta{Name: "cluster-autoscaler"}}}}, ""},
		"a lock in Endpoints":                {rival.Sight{Endpoints: []metav1.ObjectMeta{lockMeta("kube-system", "cluster-autoscaler", "ca-1", just)}}, "Cluster Autoscaler ca-1 (Endpoints kube-system/cluster-autoscaler)"},
		"a lock in Endpoints that ran out":   {rival.Sight{Endpoints: []metav1.ObjectMeta{lockMeta("kube-system", "cluster-autoscaler", "ca-1", old)}}, ""},
		"Endpoints of a Service":             {rival.Sight{Endpoints: []metav1.ObjectMeta{{Name: "cluster-autoscaler"}}}, ""},
		"a lock in a ConfigMap":              {rival.Sight{ConfigMaps: []metav1.ObjectMeta{lockMeta("a", "cluster-autoscaler", "ca-2", just)}}, "ConfigMap a/cluster-autoscaler"},
		"a fresh status":                     {rival.Sight{ConfigMaps: []metav1.ObjectMeta{statusMeta("b", just)}}, "ConfigMap b/cluster-autoscaler-status"},
		"a status of long ago":               {rival.Sight{ConfigMaps: []metav1.ObjectMeta{statusMeta("b", old)}}, ""},
		"its pod, whatever its lock":         {rival.Sight{Pods: []*corev1.Pod{pod("c", "ca-5f", image("mirror.example:5000/autoscaling/cluster-autoscaler:v1.34.0"))}}, "Cluster Autoscaler ca-5f (Pod c/ca-5f)"},
		"its pod by digest":                  {rival.Sight{Pods: []*corev1.Pod{pod("c", "ca", image("cluster-autoscaler-arm64@sha256:00"))}}, "Pod c/ca"},
		"its pod by command":                 {rival.Sight{Pods: []*corev1.Pod{pod("c", "ca", runs("./cluster-autoscaler", "--cloud-provider=aws", "--leader-elect=false"))}}, "Pod c/ca"},
		"its pod by a shell":                 {rival.Sight{Pods: []*corev1.Pod{pod("c", "ca", runs("/bin/sh", "-c", "exec ./cluster-autoscaler --cloud-provider aws"))}}, "Pod c/ca"},
		"its exporter":                       {rival.Sight{Pods: []*corev1.Pod{pod("c", "x", image("x/cluster-autoscaler-exporter:1"))}}, ""},
		"kubectl about it":                   {rival.Sight{Pods: []*corev1.Pod{pod("c", "x", runs("kubectl", "scale", "deployment", "cluster-autoscaler"))}}, ""},
		"a shell with kubectl about it":      {rival.Sight{Pods: []*corev1.Pod{pod("c", "x", runs("sh", "-c", "kubectl rollout status deployment cluster-autoscaler"))}}, ""},
		"one for another cloud":              {rival.Sight{Pods: []*corev1.Pod{pod("c", "x", corev1.Container{Image: "cluster-autoscaler:1", Args: []string{"--cloud-provider", "clusterapi"}})}}, ""},
		"one for another cloud, joined":      {rival.Sight{Pods: []*corev1.Pod{pod("c", "x", corev1.Container{Image: "cluster-autoscaler:1", Command: []string{"./cluster-autoscaler", "--cloud-provider=gce"}})}}, ""},
		"its pod that ended":                 {rival.Sight{Pods: []*corev1.Pod{ended(pod("c", "x", image("cluster-autoscaler")), corev1.PodFailed)}}, ""},
		"its pod that has no node yet":       {rival.Sight{Pods: []*corev1.Pod{on(pod("c", "x", image("cluster-autoscaler")), "")}}, ""},
		"its pod on a lost node":             {rival.Sight{Pods: []*corev1.Pod{on(pod("c", "x", image("cluster-autoscaler")), "lost")}}, ""},
		"its ready pod on a node in trouble": {rival.Sight{Pods: []*corev1.Pod{ready(on(pod("c", "x", image("cluster-autoscaler")), "lost"))}}, "Pod c/x"},
		"Karpenter's Lease":                  {rival.Sight{Leases: []coordinationv1.Lease{lease("karpenter", "karpenter-leader-election", "k-0", just, 15)}}, "Karpenter k-0 (Lease karpenter/karpenter-leader-election)"},
		"Karpenter's pod":                    {rival.Sight{Pods: []*corev1.Pod{pod("k", "k-1", image("mirror.example/karpenter/controller:1.14.1@sha256:0"))}}, "Karpenter k-1 (Pod k/k-1)"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.sight.NodeReady = nodeReady
			locks := rival.Locks{}
			rival.Find(tc.sight, locks, now.Add(-20*time.Minute)) // nothing changed here since
			got := rival.Find(tc.sight, locks, now)
			if len(got) > 1 || (tc.want == "") != (len(got) == 0) || len(got) == 1 && !strings.Contains(got[0].String(), tc.want) {
				t.Errorf("got %v, want %q", got, tc.want)
			}
		})
	}
}

// A lock's time is by its holder's clock, which may be wrong by hours either way: while
// the holder renews, it is seen; once it stops, it is not. What a lock claims for years
// ends after minutes.
func TestAClockThatIsWrong(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		skew := time.Duration(rng.Int64N(int64(6*time.Hour))) - 3*time.Hour
		seconds := int32(rng.Int64N(1<<31 - 1))
		if rng.IntN(2) == 0 {
			seconds = 1 + rng.Int32N(60)
		}
		lasts := min(time.Duration(seconds)*time.Second, 10*time.Minute)
		locks, at := rival.Locks{}, now
		look := func(renewed time.Time) bool {
			s := rival.Sight{NodeReady: nodeReady, Leases: []coordinationv1.Lease{lease("x", "cluster-autoscaler", "ca", renewed.Add(skew), seconds)}}
			return len(rival.Find(s, locks, at)) == 1
		}
		for range 20 {
			if !look(at) {
				t.Fatalf("seed %d: a holder that renews is not seen, skew %s, lasts %s", seed, skew, lasts)
			}
			at = at.Add(time.Duration(rng.Int64N(int64(lasts))))
		}
		last := at
		look(last)
		at = at.Add(2*lasts + max(skew, -skew) + time.Second)
		if look(last) {
			t.Fatalf("seed %d: a holder that stopped is seen, skew %s, lasts %s", seed, skew, lasts)
		}
	}
}

// A lock that was left behind long ago holds nobody up; if it changes after all, it is
// held. What is deleted is not remembered.
func TestLeftovers(t *testing.T) {
	locks := rival.Locks{}
	see := func(at, renewed time.Time) int {
		s := rival.Sight{NodeReady: nodeReady, Leases: []coordinationv1.Lease{lease("x", "cluster-autoscaler", "ca", renewed, 15)}}
		return len(rival.Find(s, locks, at))
	}
	old := now.Add(-48 * time.Hour)
	if n := see(now, old); n != 0 {
		t.Errorf("%d rivals by a lock of two days ago", n)
	}
	if n := see(now.Add(10*time.Second), old.Add(10*time.Second)); n != 1 {
		t.Errorf("%d rivals by a lock that is renewed with a wrong clock, want 1", n)
	}
	if rival.Find(rival.Sight{NodeReady: nodeReady}, locks, now); len(locks) != 0 {
		t.Errorf("%d deleted locks are remembered", len(locks))
	}
}

func TestTheSameInAnyOrder(t *testing.T) {
	s := rival.Sight{NodeReady: nodeReady}
	for i := range 5 {
		s.Leases = append(s.Leases, lease(fmt.Sprint("ns", i), "cluster-autoscaler", "ca", now, 15))
		s.Pods = append(s.Pods, pod("p", fmt.Sprint("ca", i), corev1.Container{Image: "cluster-autoscaler"}))
	}
	want := rival.Find(s, rival.Locks{}, now)
	for range 20 {
		rand.Shuffle(5, func(i, j int) {
			s.Leases[i], s.Leases[j] = s.Leases[j], s.Leases[i]
			s.Pods[i], s.Pods[j] = s.Pods[j], s.Pods[i]
		})
		if got := rival.Find(s, rival.Locks{}, now); len(got) != 10 || !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
