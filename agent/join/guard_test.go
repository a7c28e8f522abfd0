package join_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// answer is what the API server says to one read of the Node.
type answer struct {
	uid    string
	marked bool
	err    error
}

func (a answer) node() *corev1.Node {
	if a.err != nil {
		return nil
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{UID: types.UID(a.uid)}}
	if a.marked {
		n.Spec.Taints = []corev1.Taint{{Key: kube.ToBeDeletedTaint}}
	}
	return n
}

var (
	nodes     = schema.GroupResource{Resource: "nodes"}
	gone      = answer{err: apierrors.NewNotFound(nodes, "n")}
	refused   = answer{err: apierrors.NewUnauthorized("no")}
	forbidden = answer{err: apierrors.NewForbidden(nodes, "n", nil)}
	away      = answer{err: errors.New("connection refused")}
	ours      = answer{uid: "1"}
	others    = answer{uid: "2"}
)

func TestGuard(t *testing.T) {
	for name, tc := range map[string]struct {
		noUID, ended bool
		// answers come every 2.5 s; the last is repeated.
		answers []answer
		want    v1alpha1.LossReason
		after   time.Duration
		marked  bool
	}{
		"there":                     {answers: []answer{ours}},
		"deleted":                   {answers: []answer{ours, gone}, want: v1alpha1.NodeDeleted, after: 12500 * time.Millisecond},
		"deleted after its removal": {answers: []answer{{uid: "1", marked: true}, gone}, want: v1alpha1.NodeDeleted, after: 12500 * time.Millisecond, marked: true},
		"made again":                {answers: []answer{others}, want: v1alpha1.NodeReplaced, after: 10 * time.Second},
		"deleted and made again":    {answers: []answer{gone, gone, others}, want: v1alpha1.NodeReplaced, after: 15 * time.Second},
		"gone for a moment":         {answers: []answer{gone, gone, gone, ours}},
		"comes and goes":            {answers: []answer{gone, gone, gone, ours, gone, gone, gone, ours}},
		"not registered yet":        {noUID: true, answers: []answer{gone}},
		"first seen":                {noUID: true, answers: []answer{others}},
		"no answer":                 {answers: []answer{away}},
		"no answer after a 404":     {answers: []answer{gone, away}},
		"one of three answers":      {answers: []answer{gone, away, away, gone, away, away, gone, away, away, gone}, want: v1alpha1.NodeDeleted, after: 22500 * time.Millisecond},
		"forbidden":                 {answers: []answer{forbidden}},
		"refused":                   {answers: []answer{refused}, want: v1alpha1.CredentialsRefused, after: 5 * time.Minute},
		"refused, and ended":        {ended: true, answers: []answer{refused}, want: v1alpha1.CredentialsRefused, after: 10 * time.Second},
		"refused for a while":       {answers: []answer{refused, refused, refused, refused, refused, refused, ours}},
		"ended by our clock alone":  {ended: true, answers: []answer{ours}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &join.Guard{Name: "n", UID: "1", Ended: func() bool { return tc.ended }}
			if tc.noUID {
				g.UID = ""
			}
			now := time.Unix(0, 0)
			for passed := time.Duration(0); passed <= 10*time.Minute; passed += 2500 * time.Millisecond {
				a := tc.answers[0]
				if len(tc.answers) > 1 {
					tc.answers = tc.answers[1:]
				}
				lost := g.Observe(a.node(), a.err, now.Add(passed))
				if lost == nil {
					continue
				}
				if lost.Reason != tc.want || passed != tc.after || lost.Marked != tc.marked {
					t.Errorf("got %+v after %s, want %q after %s", lost, passed, tc.want, tc.after)
				}
				return
			}
			if tc.want != "" {
				t.Errorf("nothing was lost, want %s", tc.want)
			}
		})
	}
}

func TestGuardLooksSeldomWhileAllAreRefused(t *testing.T) {
	g := &join.Guard{Name: "n", UID: "1"}
	g.Observe(nil, refused.err, time.Unix(0, 0))
	if p := g.Pace(); p < 10*time.Second {
		t.Errorf("looks every %s", p)
	}
	g.Observe(nil, gone.err, time.Unix(1, 0))
	if p := g.Pace(); p > 3*time.Second {
		t.Errorf("looks every %s at a Node that is gone", p)
	}
}

// A Node that was there before is not waited for: another kubelet, or this one
// after a restart, would make one without a proof.
func TestVerifyKnowsItsNode(t *testing.T) {
	n := node(t, nil)
	again := registered(n, corev1.ConditionTrue)
	again.UID = "2"
	for name, tc := range map[string]struct {
		nodes []*corev1.Node
		want  v1alpha1.LossReason
	}{"deleted": {nil, v1alpha1.NodeDeleted}, "made again": {[]*corev1.Node{again}, v1alpha1.NodeReplaced}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fake.NewSimpleClientset()
				for _, node := range tc.nodes {
					if err := c.Tracker().Add(node.DeepCopy()); err != nil {
						t.Fatal(err)
					}
				}
				began := time.Now()
				_, err := join.Verify(t.Context(), c.CoreV1().Nodes(), kubelet{Active: "active"}, n, &join.Guard{Name: n.Name, UID: "1"})
				var lost *join.LostError
				if !errors.As(err, &lost) || lost.Reason != tc.want {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("took %s", took)
				}
			})
		})
	}
	c := fake.NewSimpleClientset(again.DeepCopy())
	if uid, err := join.Verify(t.Context(), c.CoreV1().Nodes(), kubelet{Active: "active"}, n, &join.Guard{Name: n.Name}); err != nil || uid != "2" {
		t.Errorf("got UID %q, %v", uid, err)
	}
}
