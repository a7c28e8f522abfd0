package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/wait"
)

const (
	// poll is how often Empty looks whether the pods are gone.
	poll = time.Second
	// again is how long an eviction that was asked for is not asked for again, whether
	// it was refused or its pod has not begun to end.
	again = 5 * time.Second
)

// Result is the answer to an eviction request, as a metric label.
type Result string

// The results of an eviction request.
const (
	// Accepted: the pod is terminating.
	Accepted Result = "accepted"
	// Gone: the pod is gone, or another one has its name (404, 409).
	Gone Result = "gone"
	// Refused: a disruption budget refuses for now (429). It is asked for again.
	Refused Result = "refused"
	// Failed: any other answer, or none.
	Failed Result = "failed"
)

// Options are what an Evictor is made of.
type Options struct {
	// Client reads pods and creates evictions.
	Client kubernetes.Interface
	// Count is called with each answer, and Accepted with each pod whose eviction was
	// accepted. Both may be nil, and are called by many at a time if Evict is.
	Count    func(Result)
	Accepted func(*corev1.Pod)
	// StopAtFailure has Evict leave the other pods alone after a failure, as where a
	// failed drain is taken back. Otherwise a pod that cannot be evicted keeps no
	// other from leaving.
	StopAtFailure bool
	// Turns are the order in which Empty has the pods leave; nil for all at once.
	Turns Turns
}

// Evictor evicts pods. It remembers what it asked for lately; several may use it at a
// time.
type Evictor struct {
	o Options

	mu       sync.Mutex
	asked    map[types.UID]time.Time
	refusals map[types.UID]error // the last refusal, while it is one
}

// NewEvictor returns an Evictor.
func NewEvictor(o Options) *Evictor {
	return &Evictor{o: o, asked: map[types.UID]time.Time{}, refusals: map[types.UID]error{}}
}

// Left reads from the API server which pods still have to leave the node, by
// kube.NeedsEviction.
func Left(ctx context.Context, client kubernetes.Interface, node string) ([]*corev1.Pod, error) {
	pods, err := PodsOn(ctx, client, node)
	return slices.DeleteFunc(pods, func(p *corev1.Pod) bool { return !kube.NeedsEviction(p, time.Now()) }), err
}

// Evict asks for the eviction of the pods that are not terminating and that it has not
// asked for within the last seconds. A refusal for now (429) is no error: it is kept,
// see Refusals, and the pod is asked for again.
func (e *Evictor) Evict(ctx context.Context, pods []*corev1.Pod) error {
	var errs []error
	for _, p := range pods {
		if kube.Terminating(p) || !e.due(p.UID) {
			continue
		}
		err := e.evict(ctx, p)
		if err != nil && e.o.StopAtFailure {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// due reports whether the pod may be asked for, and notes that it is.
func (e *Evictor) due(uid types.UID) bool {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if at, ok := e.asked[uid]; ok && now.Sub(at) < again {
		return false
	}
	e.asked[uid] = now
	return true
}

// evict asks for one eviction, of this very pod and no later one of its name.
func (e *Evictor) evict(ctx context.Context, p *corev1.Pod) error {
	err := e.o.Client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}, GracePeriodSeconds: e.o.Turns.grace(p)},
	})
	if err != nil {
		err = fmt.Errorf("evict pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	result := resultOf(err)
	e.note(p.UID, result, err)
	if e.o.Count != nil {
		e.o.Count(result)
	}
	if result == Accepted && e.o.Accepted != nil {
		e.o.Accepted(p)
	}
	if result == Failed {
		return err
	}
	return nil
}

func resultOf(err error) Result {
	switch {
	case err == nil:
		return Accepted
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return Gone // the next look tells
	case apierrors.IsTooManyRequests(err):
		return Refused
	}
	return Failed
}

// note keeps a refusal, and forgets what was asked for long ago.
func (e *Evictor) note(uid types.UID, r Result, err error) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.refusals, uid)
	if r == Refused {
		e.refusals[uid] = err
	}
	for uid, at := range e.asked {
		if now.Sub(at) > time.Minute+again {
			delete(e.asked, uid)
			delete(e.refusals, uid)
		}
	}
}

// Refusals returns why pods stay, as the disruption budgets last answered, in order.
func (e *Evictor) Refusals() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	errs := make([]error, 0, len(e.refusals))
	for _, err := range e.refusals {
		errs = append(errs, err)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errs
}

// Empty evicts the node's pods, turn by turn, and waits until they are gone. It ends
// with an error:
//   - after timeout, with the refusals. The time in which all pods of a turn are
//     terminating does not count: a pod has its grace period, and is overdue after it. One
//     that another client gave longer than an eviction would does count;
//   - when an eviction fails;
//   - when check, which sees all pods that are left, returns one;
//   - when ctx ends.
func (e *Evictor) Empty(ctx context.Context, node string, timeout time.Duration, check func([]*corev1.Pod) error) error {
	left, spent := -1, time.Duration(0)
	for {
		began := time.Now()
		bounded, cancel := context.WithTimeout(ctx, timeout-spent)
		ending, err := e.step(bounded, node, check, &left)
		late := bounded.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil && left == 0 {
			return nil
		}
		if err == nil {
			err = wait.For(ctx, poll)
		}
		if !ending {
			spent += time.Since(began)
		}
		switch {
		case late, err == nil && spent >= timeout:
			return &TimeoutError{Timeout: timeout, Left: left, Refusals: e.Refusals()}
		case err != nil:
			return err
		}
	}
}

// step looks once and asks for what is due. It sets how many pods are left, if it can
// tell, and reports whether all of the turn are terminating.
func (e *Evictor) step(ctx context.Context, node string, check func([]*corev1.Pod) error, left *int) (ending bool, err error) {
	pods, err := Left(ctx, e.o.Client, node)
	if err != nil {
		return false, err
	}
	*left = len(pods)
	if err := check(pods); err != nil {
		return false, err
	}
	pods = e.o.Turns.first(pods)
	ending = !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !kube.Terminating(p) || e.o.Turns.exceeds(p) })
	return ending, e.Evict(ctx, pods)
}

// TimeoutError says that pods were left when the time for a drain was over.
type TimeoutError struct {
	// Timeout is the time that it had.
	Timeout time.Duration
	// Left is how many pods were left; -1 if they could not be listed.
	Left int
	// Refusals are the last answers of the disruption budgets.
	Refusals []error
}

// Error names the time, the number of pods and what budgets answered.
func (e *TimeoutError) Error() string {
	text := fmt.Sprintf("not drained within %s: %d pods left", e.Timeout, e.Left)
	if len(e.Refusals) > 0 {
		text += ": " + errors.Join(e.Refusals...).Error()
	}
	return text
}

// Unwrap returns the refusals.
func (e *TimeoutError) Unwrap() []error { return e.Refusals }
