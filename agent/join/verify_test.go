package join_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/agent/join"
)

type kubelet host.UnitState

func (k kubelet) State(context.Context, string) (host.UnitState, error) {
	return host.UnitState(k), nil
}

func registered(n join.Node, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name},
		Spec:       corev1.NodeSpec{ProviderID: n.ProviderID},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Reason: "KubeletNotReady", Message: "no network"}}},
	}
}

func TestVerify(t *testing.T) {
	n := node(t, nil)
	running := kubelet{Active: "active", Sub: "running"}
	foreign := registered(n, corev1.ConditionTrue)
	foreign.Spec.ProviderID = "aws:///us-west-2a/i-0fffffffffffffff0"
	for name, tc := range map[string]struct {
		node    *corev1.Node
		kubelet kubelet
		want    string
		missing bool
		soon    bool
	}{
		"ready":      {registered(n, corev1.ConditionTrue), running, "", false, true},
		"not ready":  {registered(n, corev1.ConditionFalse), running, "KubeletNotReady: no network", false, false},
		"missing":    {nil, running, "does not exist", true, false},
		"foreign":    {foreign, running, "another instance's", false, true},
		"crash loop": {nil, kubelet{Active: "activating", Sub: "auto-restart", Restarts: 5}, "the kubelet crashes (auto-restart, 5 restarts)", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fake.NewSimpleClientset()
				if tc.node != nil {
					c = fake.NewSimpleClientset(tc.node)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				_, err := join.Verify(ctx, c.CoreV1().Nodes(), tc.kubelet, n, &join.Guard{Name: n.Name})
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
				var lacking *join.NotReadyError
				if errors.As(err, &lacking) && lacking.Missing != tc.missing {
					t.Errorf("missing is %v, want %v", lacking.Missing, tc.missing)
				}
				if took := time.Since(began); (took < time.Second) != tc.soon {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestVerifySeesANodeThatComesLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := node(t, nil)
		c := fake.NewSimpleClientset()
		time.AfterFunc(30*time.Second, func() {
			if err := c.Tracker().Add(registered(n, corev1.ConditionTrue)); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		if _, err := join.Verify(t.Context(), c.CoreV1().Nodes(), kubelet{Active: "active"}, n, &join.Guard{Name: n.Name}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 32*time.Second {
			t.Errorf("took %s", took)
		}
	})
}
