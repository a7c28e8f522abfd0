package uninstall_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/controlplane/uninstall"
)

func lease(holder string) *coordinationv1.Lease {
	seconds := int32(10)
	at := metav1.NewMicroTime(time.Now().Add(-time.Hour)) // by a clock that is an hour behind ours
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-controller", UID: "l", ResourceVersion: "1"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at, LeaseDurationSeconds: &seconds},
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
}

// cluster holds all that Joinery leaves, and what is others'.
func cluster(t *testing.T, l *coordinationv1.Lease) *fake.Clientset {
	t.Helper()
	own, err := token.NewSecret("prod", token.Join, "joinr0", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: corev1.SecretTypeBootstrapToken}
	marked := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "marked", UID: "m",
			Labels:      map[string]string{"joinery.node-restriction.kubernetes.io/admitted-uid": "m", "node-role.kubernetes.io/worker": "", "joinery.dev/pool": "batch"},
			Annotations: map[string]string{"joinery.dev/node-report": "{}", "joinery.dev/cordoned-for-removal": "true", "joinery.dev/note": "mine"}},
		Spec: corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{
			{Key: "ToBeDeletedByClusterAutoscaler", Value: "1", Effect: corev1.TaintEffectNoSchedule}, {Key: "mine", Effect: corev1.TaintEffectNoSchedule},
		}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}, {Type: "joinery.dev/ScaleDownReady"}}},
	}
	others := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "others"}, Spec: corev1.NodeSpec{
		Unschedulable: true, Taints: []corev1.Taint{{Key: "ToBeDeletedByClusterAutoscaler", Value: "1", Effect: corev1.TaintEffectNoSchedule}},
	}}
	plain := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "plain", Annotations: map[string]string{"example.com/joinery.dev": "x"}}}
	client := fake.NewClientset([]runtime.Object{own, foreign, marked, others, plain, l, configMap("joinery-adopted"), configMap("joinery-grants"),
		configMap("joinery-proven-images"), configMap("joinery-rotation"), configMap("joinery-autoscaler"), configMap("kubeadm-config")}...)
	versioned(client)
	return client
}

// versioned has the fake check and count the versions of the Lease, as an API server
// does; by itself it lets every write pass.
func versioned(client *fake.Clientset) {
	current := func(a clienttesting.Action) *coordinationv1.Lease {
		o, err := client.Tracker().Get(a.GetResource(), "kube-system", "joinery-controller")
		if err != nil {
			return &coordinationv1.Lease{}
		}
		return o.(*coordinationv1.Lease)
	}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "joinery-controller", errors.New("changed"))
	client.PrependReactor("update", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		l := a.(clienttesting.UpdateAction).GetObject().(*coordinationv1.Lease)
		if l.ResourceVersion != current(a).ResourceVersion {
			return true, nil, conflict
		}
		l.ResourceVersion += "0"
		return false, nil, nil
	})
	client.PrependReactor("delete", "leases", func(a clienttesting.Action) (bool, runtime.Object, error) {
		p, l := a.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions, current(a)
		if p == nil || *p.UID != l.UID || *p.ResourceVersion != l.ResourceVersion {
			return true, nil, conflict
		}
		return false, nil, nil
	})
}

var leases = coordinationv1.SchemeGroupVersion.WithResource("leases")

// stored returns the Lease that the API server has. Reactors call it, during which the
// client itself is locked.
func stored(t *testing.T, client *fake.Clientset) *coordinationv1.Lease {
	o, err := client.Tracker().Get(leases, "kube-system", "joinery-controller")
	if err != nil {
		t.Error(err)
		return lease("")
	}
	return o.(*coordinationv1.Lease).DeepCopy()
}

// renew has another client write the Lease.
func renew(t *testing.T, client *fake.Clientset, holder string) {
	l := stored(t, client)
	l.Spec.HolderIdentity = &holder
	l.ResourceVersion += "0"
	if err := client.Tracker().Update(leases, l, "kube-system"); err != nil {
		t.Error(err)
	}
}

// held returns the holder of the Lease.
func held(t *testing.T, client *fake.Clientset) string {
	return *stored(t, client).Spec.HolderIdentity
}

// slow has each write of a Node take so long, and calls during before the first.
func slow(client *fake.Clientset, d time.Duration, during func()) {
	once := sync.OnceFunc(during)
	client.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		once()
		done := make(chan struct{})
		go func() {
			time.Sleep(d)
			close(done)
		}()
		<-done
		return false, nil, nil
	})
}

var everything = []uninstall.Line{
	{Object: "Node/marked", Removed: "the mark of a removal, and its cordon"},
	{Object: "Node/marked", Removed: "label joinery.node-restriction.kubernetes.io/admitted-uid"},
	{Object: "Node/marked", Removed: "annotation joinery.dev/cordoned-for-removal"},
	{Object: "Node/marked", Removed: "annotation joinery.dev/node-report"},
	{Object: "Node/marked", Removed: "condition joinery.dev/ScaleDownReady"},
	{Object: "Secret/bootstrap-token-joinr0", Removed: "the object"},
	{Object: "ConfigMap/joinery-adopted", Removed: "the object"},
	{Object: "ConfigMap/joinery-grants", Removed: "the object"},
	{Object: "ConfigMap/joinery-proven-images", Removed: "the object"},
	{Object: "ConfigMap/joinery-rotation", Removed: "the object"},
	{Object: "ConfigMap/joinery-autoscaler", Removed: "the object"},
	{Object: "Lease/joinery-controller", Removed: "the object"},
}

func TestRunRemovesWhatIsOurs(t *testing.T) {
	client := cluster(t, lease(""))
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client})
	if err != nil || !slices.Equal(got, everything) {
		t.Fatalf("removed %+v: %v", got, err)
	}
	n, err := client.CoreV1().Nodes().Get(t.Context(), "marked", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Spec.Unschedulable || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != "mine" || len(n.Labels) != 2 || n.Labels["joinery.dev/pool"] != "batch" || len(n.Annotations) != 1 || len(n.Status.Conditions) != 1 {
		t.Errorf("left %+v", n)
	}
	if n, err = client.CoreV1().Nodes().Get(t.Context(), "others", metav1.GetOptions{}); err != nil || len(n.Spec.Taints) != 1 || !n.Spec.Unschedulable {
		t.Errorf("Cluster Autoscaler's mark: %+v: %v", n, err)
	}
	secrets, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 1 || secrets.Items[0].Name != "bootstrap-token-abcdef" {
		t.Errorf("tokens %+v: %v", secrets.Items, err)
	}
	maps, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(maps.Items) != 1 || maps.Items[0].Name != "kubeadm-config" {
		t.Errorf("ConfigMaps %+v: %v", maps.Items, err)
	}
	if again, err := uninstall.Run(t.Context(), uninstall.Options{Client: client}); err != nil || len(again) > 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestRunDry(t *testing.T) {
	client := cluster(t, lease(""))
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, DryRun: true})
	if err != nil || !slices.Equal(got, everything) {
		t.Fatalf("got %+v: %v", got, err)
	}
	for _, a := range client.Actions() {
		if verb := a.GetVerb(); verb != "get" && verb != "list" {
			t.Errorf("%s %s", verb, a.GetResource().Resource)
		}
	}
}

func TestRunRefusesUnderALeaderOfAnyClock(t *testing.T) {
	for _, dry := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			client := cluster(t, lease("ip-10-0-0-1"))
			time.AfterFunc(2*time.Second, func() { renew(t, client, "ip-10-0-0-1") })
			got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, DryRun: dry})
			if !errors.Is(err, uninstall.ErrLed) || len(got) > 0 || held(t, client) != "ip-10-0-0-1" {
				t.Errorf("dry %t: removed %+v: %v", dry, got, err)
			}
		})
	}
}

func TestRunWaitsForALeaderThatCrashed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		got, err := uninstall.Run(t.Context(), uninstall.Options{Client: cluster(t, lease("ip-10-0-0-1"))})
		if took := time.Since(began); err != nil || !slices.Equal(got, everything) || took != 10*time.Second {
			t.Errorf("removed %+v after %s: %v", got, took, err)
		}
	})
}

func TestRunDoesNotWaitForWhoGaveTheLeaseBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, began := cluster(t, lease("ip-10-0-0-1")), time.Now()
		time.AfterFunc(1500*time.Millisecond, func() { renew(t, client, "") })
		if _, err := uninstall.Run(t.Context(), uninstall.Options{Client: client}); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestRunHoldsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := cluster(t, lease(""))
		var holder, version, later string
		slow(client, 8*time.Second, func() { holder = held(t, client) })
		client.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
			later, version = held(t, client), stored(t, client).ResourceVersion
			return false, nil, nil
		})
		got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client})
		if err != nil || !slices.Equal(got, everything) {
			t.Errorf("removed %+v: %v", got, err)
		}
		// Taken once, and renewed after each of the three patches.
		if !strings.HasPrefix(holder, "joinery-uninstall_") || later != holder || version != "10000" {
			t.Errorf("held by %q, then by %q, version %s", holder, later, version)
		}
	})
}

func TestRunStopsWhereAnotherTakesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := cluster(t, lease(""))
		slow(client, 3*time.Second, func() { renew(t, client, "ip-10-0-0-2") })
		got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client})
		if !errors.Is(err, uninstall.ErrLed) || !slices.Equal(got, everything[:1]) || held(t, client) != "ip-10-0-0-2" {
			t.Errorf("removed %+v, held by %s: %v", got, held(t, client), err)
		}
	})
}

func TestRunDeletesNoLeaseOfAnother(t *testing.T) {
	client := cluster(t, lease(""))
	client.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		renew(t, client, "ip-10-0-0-2")
		return false, nil, nil
	})
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client})
	if !errors.Is(err, uninstall.ErrLed) || !slices.Equal(got, everything[:len(everything)-1]) || held(t, client) != "ip-10-0-0-2" {
		t.Errorf("removed %+v, held by %s: %v", got, held(t, client), err)
	}
}

func TestRunTellsOnlyWhatItRemoved(t *testing.T) {
	client := cluster(t, lease(""))
	refused := apierrors.NewForbidden(corev1.Resource("x"), "x", errors.New("no"))
	for verb, resource := range map[string]string{"patch": "nodes", "delete": "configmaps"} {
		client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, refused })
	}
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client})
	want := []uninstall.Line{{Object: "Secret/bootstrap-token-joinr0", Removed: "the object"}, {Object: "Lease/joinery-controller", Removed: "the object"}}
	if !apierrors.IsForbidden(err) || !slices.Equal(got, want) {
		t.Errorf("removed %+v: %v", got, err)
	}
}

func TestRunToleratesNodesThatAreGone(t *testing.T) {
	for name, verb := range map[string]string{"before it is read": "get", "before it is patched": "patch"} {
		client := cluster(t, lease(""))
		gone := apierrors.NewNotFound(corev1.Resource("nodes"), "marked")
		client.PrependReactor(verb, "nodes", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, gone })
		if got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client}); err != nil || !slices.Equal(got, everything[5:]) {
			t.Errorf("%s: removed %+v: %v", name, got, err)
		}
	}
	client := cluster(t, lease(""))
	client.PrependReactor("get", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "marked", UID: "another"}}, nil
	})
	if got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client}); err != nil || !slices.Equal(got, everything[5:]) {
		t.Errorf("another one: removed %+v: %v", got, err)
	}
}
