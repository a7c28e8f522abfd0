package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/agent/host"
	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/agent/report"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/internal/wait"
	"github.com/joinery/joinery/lab/bubble"
)

// plant is a simulated machine and its cluster: a join makes a Node there, with a
// UID of its own, unless the name is taken.
type plant struct {
	t      *testing.T
	client *fake.Clientset
	mu     sync.Mutex // guards all below
	state  boot.State
	joins  int
	left   int
	// target is what the instance's group wants of it.
	target imds.LifecycleState
	status []string
}

const plantID = "i-0123456789abcdef0"

func (p *plant) Facts(context.Context) (identity.Facts, error) {
	return identity.Facts{InstanceID: plantID, Region: "us-west-2", Zone: "us-west-2a", PrivateIP: "10.99.0.12"}, nil
}
func (p *plant) UserData(context.Context) ([]byte, error)    { return nil, imds.ErrAbsent }
func (p *plant) Tag(context.Context, string) (string, error) { return "demo", nil }
func (p *plant) LifecycleState(context.Context) (imds.LifecycleState, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target, nil
}

func (p *plant) Joined(string) error {
	if p.Identity() == "" {
		return &join.NotJoinedError{Why: "new"}
	}
	return nil
}

func (p *plant) Identity() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.joins == 0 {
		return ""
	}
	return fmt.Sprint("key ", p.joins)
}

func (p *plant) Leave(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left++
	return nil
}

func (p *plant) Reset(context.Context) error               { return errors.New("must not be reset") }
func (p *plant) Configure(join.Node) error                 { return nil }
func (p *plant) EnsureKubelet(context.Context, bool) error { return nil }

func (p *plant) Request(ctx context.Context, _ join.Node, _ *v1alpha1.JoinBundle) (join.Certificate, error) {
	return join.Certificate{}, wait.For(ctx, 2*time.Second)
}

func (p *plant) Join(ctx context.Context, _ *v1alpha1.JoinBundle, _ join.Certificate) error {
	if err := wait.For(ctx, 10*time.Second); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: plantName, UID: types.UID(fmt.Sprint("uid ", p.joins+1))},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///us-west-2a/" + plantID},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}, metav1.CreateOptions{})
	if err == nil {
		p.joins++
	}
	return err
}

const plantName = "ip-10-99-0-12.us-west-2.compute.internal"

func (p *plant) Status(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = append(p.status, text)
}
func (p *plant) Expect(time.Duration) {}

func (p *plant) State(context.Context, string) (host.UnitState, error) {
	return host.UnitState{Active: "active"}, nil
}

// lists is the fake cluster, which does not stream lists as a real one does.
type lists struct{ corev1client.CoreV1Interface }

func (lists) IsWatchListSemanticsUnSupported() bool { return true }

// run is what the agent does on the machine, until ctx ends.
func (p *plant) run(ctx context.Context) error {
	log, nodes := slog.New(slog.DiscardHandler), p.client.CoreV1().Nodes()
	var publisher *report.Publisher
	var work *boot.Work
	work = &boot.Work{
		Metadata: p, Membership: p, Joiner: p, Log: log, BootID: "boot", State: p.state,
		SetHostname: func(context.Context, string) error { return nil },
		Quiet:       func(context.Context) ([]string, error) { return nil, nil },
		Fetch: func(context.Context, join.Node) (*v1alpha1.JoinBundle, error) {
			return &v1alpha1.JoinBundle{Token: "abcdef.0123456789abcdef"}, nil
		},
		Verify: func(ctx context.Context, n join.Node, uid string) (string, error) {
			return join.Verify(ctx, nodes, p, n, &join.Guard{Name: n.Name, UID: uid})
		},
		Kept: func(context.Context, join.Node, string) bool { return false },
		Look: func(ctx context.Context, name, uid string) *join.LostError {
			return join.Look(ctx, nodes, &join.Guard{Name: name, UID: uid})
		},
		Report: func(ctx context.Context, n join.Node) error {
			none := func(context.Context) (report.Holds, error) { return report.Holds{}, nil }
			publisher = report.New(lists{p.client.CoreV1()}, &join.Guard{Name: n.Name, UID: work.State.NodeUID}, none, p, log)
			return publisher.First(ctx, v1alpha1.NodeReport{InstanceID: plantID, Rejoin: work.State.Rejoin})
		},
		Ready: func() {},
		Save: func(s boot.State) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.state = s
			return nil
		},
	}
	sequence := &boot.Sequence{Stages: work.Stages(), Supervisor: p, Random: func() float64 { return 0.5 }, Log: log}
	return cycle(ctx, work, sequence, func(ctx context.Context, _ join.Node) error {
		return publisher.Run(ctx, v1alpha1.NodeReport{InstanceID: plantID, Rejoin: work.State.Rejoin})
	})
}

// start runs the agent on a new machine until its Node is Ready.
func start(t *testing.T) (*plant, func()) {
	p := &plant{t: t, client: fake.NewSimpleClientset(), target: imds.InService}
	return p, p.start()
}

// start runs the agent; the function that it returns stops it.
func (p *plant) start() func() {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	bubble.Sleep(time.Minute)
	return func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			p.t.Error(err)
		}
	}
}

// want checks the UID of the Node; empty for none.
func (p *plant) want(uid string) {
	p.t.Helper()
	synctest.Wait()
	node, err := p.client.CoreV1().Nodes().Get(p.t.Context(), plantName, metav1.GetOptions{})
	if uid == "" && err == nil || uid != "" && (err != nil || string(node.UID) != uid) {
		p.t.Errorf("the Node is %+v, %v: want UID %q", node, err, uid)
	}
}

func (p *plant) deleteNode() {
	p.t.Helper()
	if err := p.client.CoreV1().Nodes().Delete(p.t.Context(), plantName, metav1.DeleteOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// TestDeletedNodeJoinsAgainWithinAMinute is `kubectl delete node` on an instance
// that lives.
func TestDeletedNodeJoinsAgainWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := start(t)
		defer stop()
		p.want("uid 1")
		for again := 2; again < 5; again++ {
			p.deleteNode()
			bubble.Sleep(time.Minute)
			p.want(fmt.Sprint("uid ", again))
			if s := p.state; p.left != again-1 || s.Rejoin == nil || s.Rejoin.Times != again-1 || s.Rejoin.Reason != v1alpha1.NodeDeleted || s.Lost != nil || !s.Complete {
				t.Errorf("left %d times, saved %+v", p.left, s)
			}
		}
		node, err := p.client.CoreV1().Nodes().Get(t.Context(), plantName, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := v1alpha1.DecodeNodeReport([]byte(node.Annotations[v1alpha1.NodeReportAnnotation])); err != nil || r.Rejoin == nil || r.Rejoin.Times != 3 {
			t.Errorf("reported %+v, %v", r, err)
		}
	})
}

// A Node that something else made under the name is not taken for ours.
func TestReplacedNodeJoinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := start(t)
		defer stop()
		p.deleteNode()
		_, err := p.client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: plantName, UID: "thief"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Minute)
		p.want("thief")
		p.mu.Lock()
		if l := p.state.Lost; p.left < 1 || l == nil || l.Reason != v1alpha1.NodeReplaced {
			t.Errorf("left %d times, saved %+v", p.left, p.state)
		}
		p.mu.Unlock()
		p.deleteNode()
		bubble.Sleep(time.Minute)
		p.want("uid 2")
	})
}

// An instance that its group is about to end, or takes into a warm pool, does not
// join again; one that stays after all does.
func TestLeavingInstanceDoesNotJoinAgain(t *testing.T) {
	for _, target := range []imds.LifecycleState{imds.Terminated, "Warmed:Stopped"} {
		synctest.Test(t, func(t *testing.T) {
			p, stop := start(t)
			defer stop()
			p.mu.Lock()
			p.target = target
			p.mu.Unlock()
			p.deleteNode()
			bubble.Sleep(time.Hour)
			p.want("")
			p.mu.Lock()
			p.target = imds.InService
			p.mu.Unlock()
			bubble.Sleep(time.Minute)
			p.want("uid 2")
		})
	}
}

// An agent that was not running when its Node was deleted finds out when it is.
func TestNodeDeletedWhileTheAgentIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, stop := start(t)
		stop()
		p.deleteNode()
		stop = p.start()
		defer stop()
		p.want("uid 2")
		path := filepath.Join(t.TempDir(), "state.json")
		if err := p.state.Save(path); err != nil {
			t.Fatal(err)
		}
		if got, err := boot.Load(path); err != nil || got.NodeUID != "uid 2" || got.Rejoin == nil || got.Lost != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
