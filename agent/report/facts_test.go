package report_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/bubble"
)

// facts are what is true of the node of a random story.
type facts struct {
	holds        report.Holds
	alive, blind bool // the agent; whether it cannot read locks
	// said is what the agent has said last, while it lived: true for a hold.
	said  bool
	story []string
}

// TestNoFactHidesAHold takes a node through random facts: its kubelet stops and starts, it
// is marked and unmarked, its agent dies and comes back, locks cannot be read. Two seconds
// after each of them a hold that is there is in the Node's condition, one that was there
// when the agent died still is, and one that was lifted under the agent's eyes is not.
func TestNoFactHidesAHold(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 11))
			w := start(t, fake.NewSimpleClientset(aNode(nil)))
			f := &facts{alive: true}
			for range 20 {
				f.change(t, r, w)
				bubble.Sleep(2 * time.Second)
				node, err := w.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				held, c := len(f.holds.Files)+len(f.holds.Inhibitors) > 0, kube.LocalHold(node)
				switch {
				case f.alive && held && c == nil, !f.alive && f.said && c == nil:
					t.Fatalf("seed %d: the hold is lost after %s", seed, strings.Join(f.story, ", "))
				case f.alive && !f.blind && !held && c != nil:
					t.Fatalf("seed %d: %s holds the node after %s", seed, c.Message, strings.Join(f.story, ", "))
				}
				if f.alive {
					f.said = c != nil
				}
			}
			if f.alive {
				w.stop()
			}
		})
	}
}

// change makes one random fact true.
func (f *facts) change(t *testing.T, r *rand.Rand, w *world) {
	told := ""
	switch r.IntN(8) {
	case 0:
		f.holds.Files, told = []string{"job"}, "hold file"
	case 1:
		f.holds.Inhibitors, told = []string{"backup"}, "lock"
	case 2:
		f.holds, told = report.Holds{}, "lifted"
	case 3, 4:
		status := []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown}[r.IntN(3)]
		edit(t, w, func(n *corev1.Node) { kube.Condition(n, corev1.NodeReady).Status = status })
		told = fmt.Sprintf("ready %s", status)
	case 5:
		marked := r.IntN(2) == 0
		edit(t, w, func(n *corev1.Node) {
			if n.Spec.Taints = nil; marked {
				going(n)
			}
		})
		told = fmt.Sprintf("marked %t", marked)
	case 6:
		if told = "agent dies"; f.alive {
			w.stop()
		} else {
			told = "agent lives"
			*w = *startWith(t, w.client, w.holds)
		}
		f.alive = !f.alive
	case 7:
		f.blind, told = !f.blind, "locks unreadable or readable"
	}
	var unread error
	if f.blind {
		unread = errors.New("no bus")
	}
	w.holds.set(f.holds, unread)
	f.story = append(f.story, told)
}

func edit(t *testing.T, w *world, change func(*corev1.Node)) {
	t.Helper()
	n, err := w.client.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	change(n)
	if _, err := w.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
