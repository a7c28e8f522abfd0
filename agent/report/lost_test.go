package report_test

import (
	"cmp"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/bubble"
)

func TestPublisherNoticesThatItsNodeIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		// change is made after a minute; it may have the API server answer all with
		// the error.
		change func(*testing.T, *fake.Clientset) error
		ended  bool
		want   v1alpha1.LossReason
		within time.Duration
	}{
		"deleted":                    {change: remove, want: v1alpha1.NodeDeleted, within: 15 * time.Second},
		"deleted and made again":     {change: replace, want: v1alpha1.NodeReplaced, within: 15 * time.Second},
		"refused":                    {change: answers(apierrors.NewUnauthorized("no")), want: v1alpha1.CredentialsRefused, within: 7 * time.Minute},
		"refused, and ended":         {change: answers(apierrors.NewUnauthorized("no")), ended: true, want: v1alpha1.CredentialsRefused, within: 75 * time.Second},
		"no answer":                  {change: answers(errors.New("connection refused"))},
		"forbidden":                  {change: answers(apierrors.NewForbidden(corev1.Resource("nodes"), "n", nil))},
		"slow":                       {change: answers(apierrors.NewTooManyRequests("later", 1))},
		"nothing":                    {change: func(*testing.T, *fake.Clientset) error { return nil }},
		"ended by our clock alone":   {change: func(*testing.T, *fake.Clientset) error { return nil }, ended: true},
		"deleted, and nothing heard": {change: func(t *testing.T, c *fake.Clientset) error { remove(t, c); return errors.New("away") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewSimpleClientset(aNode(func(n *corev1.Node) { n.UID = "1" }))
				var says atomic.Pointer[error]
				client.PrependReactor("*", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
					if err := says.Load(); err != nil {
						return true, nil, *err
					}
					return false, nil, nil
				})
				guard := &join.Guard{Name: "n", UID: "1", Ended: func() bool { return tc.ended }}
				p := report.New(api{client.CoreV1()}, guard, (&source{}).get, silent{}, slog.New(slog.DiscardHandler))
				done := make(chan error, 1)
				go func() { done <- p.Run(t.Context(), said()) }()
				bubble.Sleep(time.Minute)
				if err := tc.change(t, client); err != nil {
					says.Store(&err)
				}
				bubble.Sleep(cmp.Or(tc.within, 20*time.Minute))
				select {
				case err := <-done:
					var lost *join.LostError
					if !errors.As(err, &lost) || lost.Reason != tc.want {
						t.Errorf("got %v, want %q", err, tc.want)
					}
				default:
					if tc.want != "" {
						t.Errorf("not noticed within %s, want %s", tc.within, tc.want)
					}
				}
			})
		})
	}
}

func remove(t *testing.T, c *fake.Clientset) error {
	if err := c.CoreV1().Nodes().Delete(t.Context(), "n", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	return nil
}

func replace(t *testing.T, c *fake.Clientset) error {
	remove(t, c)
	if _, err := c.CoreV1().Nodes().Create(t.Context(), aNode(func(n *corev1.Node) { n.UID = "2" }), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	return nil
}

func answers(err error) func(*testing.T, *fake.Clientset) error {
	return func(*testing.T, *fake.Clientset) error { return err }
}

func TestRejoinIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewSimpleClientset(aNode(nil))
		p := report.New(api{client.CoreV1()}, &join.Guard{Name: "n"}, (&source{}).get, silent{}, slog.New(slog.DiscardHandler))
		for times := range 3 {
			r := said()
			r.Rejoin = &v1alpha1.Rejoin{Reason: v1alpha1.NodeDeleted, LostAt: time.Now(), Times: times + 1}
			if err := p.First(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			node, err := client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := v1alpha1.DecodeNodeReport([]byte(node.Annotations[v1alpha1.NodeReportAnnotation]))
			if err != nil || got.Rejoin == nil || got.Rejoin.Times != times+1 {
				t.Errorf("got %+v, %v", got, err)
			}
		}
	})
}
