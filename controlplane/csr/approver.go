package csr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Approver uses.
type finder interface {
	ByPrivateIP(context.Context, netip.Addr) ([]instances.Instance, error)
	ByID(context.Context, ...string) ([]instances.Instance, error)
	Group(context.Context, string) (*instances.Group, error)
	// Pooled maps the instances in a group's warm pool to their lifecycle states.
	Pooled(context.Context, string) (map[string]string, error)
}

// tokens is the part of token.Rotator that Approver uses.
type tokens interface {
	// Issued says whether the bootstrap token of that id is ours and was not
	// revoked.
	Issued(ctx context.Context, id string) (bool, error)
}

// verifier is the part of attest.Verifier that Approver uses.
type verifier interface {
	// Verify returns who signed proof for a request that was created at created.
	Verify(ctx context.Context, proof string, request []byte, created, now time.Time) (attest.Identity, error)
}

// Bounds of the wait before a request that is held is judged again.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// workers judge requests side by side, so that a slow answer about one instance
// delays no other. They also bound the calls to EC2 that a flood can cause.
const workers = 4

// patience bounds one judgement, so that connections that hang do not end all
// judging.
const patience = 30 * time.Second

// Approver judges requests as they arrive.
type Approver struct {
	client   kubernetes.Interface
	finder   finder
	tokens   tokens
	legacy   tokens // nil: there are none
	verifier verifier
	grants   *Grants
	events   record.EventRecorder
	metrics  *Metrics
	log      *slog.Logger
	policy   Policy
	queue    workqueue.TypedRateLimitingInterface[item]
	alive    func() // nil: nobody wants to know
	memory
}

// item is a request by its name, or an instance whose Node, called node, became
// Ready. The empty one shows that a worker is free.
type item struct{ request, joined, node string }

// Deps are what an Approver works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Finder asks AWS.
	Finder finder
	// Tokens knows which bootstrap tokens are ours.
	Tokens tokens
	// LegacyTokens knows which of those for old user data are; nil if there are
	// none.
	LegacyTokens tokens
	// Verifier verifies proofs of identity. It is not used when the policy's
	// Proof is off.
	Verifier verifier
	// Events gets one event for each verdict, regarding the request.
	Events record.EventRecorder
	// Metrics counts verdicts.
	Metrics *Metrics
	// Log gets one line for each verdict.
	Log *slog.Logger
	// Alive, unless nil, is called every minute while a worker is free to judge.
	Alive func()
}

// NewApprover returns an approver that judges by p.
func NewApprover(d Deps, p Policy) *Approver {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[item](firstRetry, lastRetry)
	return &Approver{
		client: d.Client, finder: d.Finder, tokens: d.Tokens, legacy: d.LegacyTokens, verifier: d.Verifier,
		events: d.Events, metrics: d.Metrics, log: d.Log.With("part", "csr"), policy: p,
		grants: NewGrants(d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem), p.LaunchWindow),
		queue:  workqueue.NewTypedRateLimitingQueue(limiter),
		alive:  d.Alive,
		memory: newMemory(),
	}
}

// process handles one item; false when the queue has shut down.
func (a *Approver) process(ctx context.Context) bool {
	it, down := a.queue.Get()
	if down {
		return false
	}
	defer a.queue.Done(it)
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again, err := a.handle(bounded, it)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.log.Error("signing request", "request", it.request, "instance", it.joined, "error", err)
		a.queue.AddRateLimited(it)
	case again:
		a.queue.AddRateLimited(it)
	default:
		a.queue.Forget(it)
	}
	return true
}

func (a *Approver) handle(ctx context.Context, it item) (again bool, err error) {
	if it == (item{}) {
		a.alive()
		return false, nil
	}
	if it.joined != "" {
		return false, a.grants.Joined(ctx, it.joined, it.node, time.Now())
	}
	c, err := a.client.CertificatesV1().CertificateSigningRequests().Get(ctx, it.request, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		a.forget(it.request)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read request: %w", err)
	}
	if !a.judges(KindOf(c)) {
		a.forget(it.request)
		return false, nil
	}
	r := Parse(c)
	if v := a.checkToken(ctx, r); v != nil {
		return a.execute(ctx, c, r, Facts{}, *v)
	}
	if r.Problem == nil && !a.admit(r) {
		a.alarm(ctx, c, r)
		return true, nil
	}
	f, v := a.judge(ctx, r)
	return a.execute(ctx, c, r, f, v)
}

// judges says whether requests of a kind are decided about here.
func (a *Approver) judges(k Kind) bool { return k != "" && (k != Serving || !a.policy.ServingDisabled) }

// checkToken returns a verdict unless the requester's token is ours. Another
// token may be given our group by whoever may make Secrets in kube-system, and
// deleting a token's Secret revokes what was asked for with it.
func (a *Approver) checkToken(ctx context.Context, r Request) *Verdict {
	id, holder := strings.CutPrefix(r.Requester, requesterPrefix)
	if !holder {
		return nil
	}
	known := a.tokens
	if r.Legacy {
		known = a.legacy
	}
	if known == nil {
		return &Verdict{Action: Ignore, Reason: UnknownToken, Message: "token " + id + " is for old user data, for which there are none"}
	}
	ours, err := known.Issued(ctx, id)
	switch {
	case err != nil:
		return hold(FactsUnreadable, "%v", err)
	case !ours:
		return &Verdict{Action: Ignore, Reason: UnknownToken, Message: "token " + id + " is none of this cluster's, or was revoked: left to others"}
	}
	return nil
}

// execute does what the verdict says; again asks for another judgement later.
func (a *Approver) execute(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, f Facts, v Verdict) (again bool, err error) {
	switch {
	case v.Action == Ignore:
		a.tell(ctx, c, r, v)
		a.forget(c.Name)
		return false, nil
	case v.Action == Hold:
		a.tell(ctx, c, r, v)
		if v.Reason == StaleNode {
			return true, a.deleteStale(ctx, r.Node, f.Node.UID)
		}
		return true, nil
	case v.Remember != nil:
		// Recorded first: dying in between costs one of the launch's grants,
		// the other order would give certificates that nobody remembers.
		err := a.grants.Record(ctx, v.Instance.ID, f.Grants[v.Instance.ID], *v.Remember, time.Now())
		if errors.Is(err, errGrantChanged) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("record grant: %w", err)
		}
	}
	if err := a.update(ctx, c, v); apierrors.IsConflict(err) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	a.tell(ctx, c, r, v)
	a.forget(c.Name)
	return false, nil
}

func (a *Approver) update(ctx context.Context, c *certificatesv1.CertificateSigningRequest, v Verdict) error {
	kind := certificatesv1.CertificateApproved
	if v.Action == Deny {
		kind = certificatesv1.CertificateDenied
	}
	next := c.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: "Joinery" + string(v.Reason), Message: v.Message,
	})
	_, err := a.client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, c.Name, next, metav1.UpdateOptions{})
	if err != nil {
		return fmt.Errorf("%s request: %w", v.Action, err)
	}
	return nil
}

func (a *Approver) deleteStale(ctx context.Context, name, uid string) error {
	id := types.UID(uid)
	err := a.client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &id}})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Node by now
		return nil
	case err != nil:
		return fmt.Errorf("delete stale node %s: %w", name, err)
	}
	a.log.Info("stale node deleted", "node", name, "uid", uid)
	return nil
}
