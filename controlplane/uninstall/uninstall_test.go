package uninstall_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/controlplane/uninstall"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func lease(holder string, renewed time.Time) *coordinationv1.Lease {
	seconds := int32(10)
	at := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "joinery-controller"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at, LeaseDurationSeconds: &seconds},
	}
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}}
}

// cluster holds all that Joinery leaves, and what is others'.
func cluster(t *testing.T, l *coordinationv1.Lease) *fake.Clientset {
	t.Helper()
	own, err := token.NewSecret("prod", token.Join, "joinr0", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: corev1.SecretTypeBootstrapToken}
	marked := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "marked", UID: "m",
			Labels:      map[string]string{"joinery.node-restriction.kubernetes.io/admitted-uid": "m", "node-role.kubernetes.io/worker": ""},
			Annotations: map[string]string{"joinery.dev/node-report": "{}", "joinery.dev/cordoned-for-removal": "true", "example.com/a": "b"}},
		Spec: corev1.NodeSpec{Unschedulable: true, Taints: []corev1.Taint{
			{Key: "ToBeDeletedByClusterAutoscaler", Value: "1", Effect: corev1.TaintEffectNoSchedule}, {Key: "mine", Effect: corev1.TaintEffectNoSchedule},
		}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady}, {Type: "joinery.dev/ScaleDownReady"}}},
	}
	plain := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "plain", Annotations: map[string]string{"example.com/joinery.dev": "x"}}}
	return fake.NewClientset([]runtime.Object{own, foreign, marked, plain, l, configMap("joinery-adopted"), configMap("joinery-grants"),
		configMap("joinery-proven-images"), configMap("joinery-rotation"), configMap("kubeadm-config")}...)
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
	{Object: "Lease/joinery-controller", Removed: "the object"},
}

func TestRunRemovesWhatIsOurs(t *testing.T) {
	client := cluster(t, lease("", now))
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, Now: now})
	if err != nil || !slices.Equal(got, everything) {
		t.Fatalf("removed %+v: %v", got, err)
	}
	n, err := client.CoreV1().Nodes().Get(t.Context(), "marked", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Spec.Unschedulable || len(n.Spec.Taints) != 1 || n.Spec.Taints[0].Key != "mine" || len(n.Labels) != 1 || len(n.Annotations) != 1 || len(n.Status.Conditions) != 1 {
		t.Errorf("left %+v", n)
	}
	secrets, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(secrets.Items) != 1 || secrets.Items[0].Name != "bootstrap-token-abcdef" {
		t.Errorf("tokens %+v: %v", secrets.Items, err)
	}
	maps, err := client.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(maps.Items) != 1 || maps.Items[0].Name != "kubeadm-config" {
		t.Errorf("ConfigMaps %+v: %v", maps.Items, err)
	}
	if again, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, Now: now}); err != nil || len(again) > 0 {
		t.Errorf("a second time: %+v, %v", again, err)
	}
}

func TestRunDry(t *testing.T) {
	client := cluster(t, lease("", now))
	got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, Now: now, DryRun: true})
	if err != nil || !slices.Equal(got, everything) {
		t.Fatalf("got %+v: %v", got, err)
	}
	for _, a := range client.Actions() {
		if verb := a.GetVerb(); verb != "get" && verb != "list" {
			t.Errorf("%s %s", verb, a.GetResource().Resource)
		}
	}
}

func TestRunWaitsForTheLeaderToStop(t *testing.T) {
	client := cluster(t, lease("ip-10-0-0-1", now.Add(-9*time.Second)))
	if got, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, Now: now}); !errors.Is(err, uninstall.ErrLed) || len(got) > 0 {
		t.Errorf("removed %+v: %v", got, err)
	}
	client = cluster(t, lease("ip-10-0-0-1", now.Add(-11*time.Second)))
	if _, err := uninstall.Run(t.Context(), uninstall.Options{Client: client, Now: now}); err != nil {
		t.Errorf("the leader crashed: %v", err)
	}
}
