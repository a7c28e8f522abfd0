package csr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"github.com/joinery/joinery/controlplane/instances"
)

// finder is the part of instances.Reader that Approver uses.
type finder interface {
	ByPrivateIP(context.Context, netip.Addr) ([]instances.Instance, error)
	ByID(context.Context, ...string) ([]instances.Instance, error)
	Group(context.Context, string) (*instances.Group, error)
}

// Bounds of the wait before a request that is held is judged again.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// workers judge requests side by side, so that a slow answer about one instance
// delays no other. They also bound the calls to EC2 that a flood can cause.
const workers = 4

// Approver judges requests as they arrive.
type Approver struct {
	client  kubernetes.Interface
	finder  finder
	grants  *Grants
	events  record.EventRecorder
	metrics *Metrics
	log     *slog.Logger
	policy  Policy
	queue   workqueue.TypedRateLimitingInterface[item]

	mu sync.Mutex
	// held maps a request's name to the reason that it was last held for; it
	// keeps a request that is judged every few seconds from repeating itself
	// in events and logs. Guarded by mu.
	held map[string]Reason
}

// item is a request by its name, or an instance whose Node became Ready.
type item struct{ request, joined string }

// Deps are what an Approver works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Finder asks AWS.
	Finder finder
	// Events gets one event for each verdict, regarding the request.
	Events record.EventRecorder
	// Metrics counts verdicts.
	Metrics *Metrics
	// Log gets one line for each verdict.
	Log *slog.Logger
}

// NewApprover returns an approver that judges by p.
func NewApprover(d Deps, p Policy) *Approver {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[item](firstRetry, lastRetry)
	return &Approver{
		client: d.Client, finder: d.Finder, events: d.Events, metrics: d.Metrics, log: d.Log.With("part", "csr"), policy: p,
		grants: NewGrants(d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem), p.LaunchWindow),
		queue:  workqueue.NewTypedRateLimitingQueue(limiter),
		held:   map[string]Reason{},
	}
}

// process handles one item; false when the queue has shut down.
func (a *Approver) process(ctx context.Context) bool {
	it, down := a.queue.Get()
	if down {
		return false
	}
	defer a.queue.Done(it)
	again, err := a.handle(ctx, it)
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
	if it.joined != "" {
		return false, a.grants.Joined(ctx, it.joined, time.Now())
	}
	c, err := a.client.CertificatesV1().CertificateSigningRequests().Get(ctx, it.request, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		a.forget(it.request)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read request: %w", err)
	}
	if !Ours(c) {
		return false, nil
	}
	r := Parse(c)
	f, v := a.judge(ctx, r)
	return a.execute(ctx, c, r, f, v)
}

// judge decides with as few questions as it takes.
func (a *Approver) judge(ctx context.Context, r Request) (Facts, Verdict) {
	if r.Problem != nil {
		return Facts{}, *r.Problem
	}
	look, ok := LookupFor(r.Node, a.policy.Mode)
	if !ok {
		return Facts{}, *deny(WrongName, "%q is no node name of mode %s", r.Node, a.policy.Mode)
	}
	f, v := a.resolve(ctx, r, look)
	if v != nil {
		return f, *v
	}
	return f, Decide(r, f, time.Now(), a.policy)
}

// resolve asks AWS and the API server. A verdict says that an answer is missing.
func (a *Approver) resolve(ctx context.Context, r Request, look Lookup) (Facts, *Verdict) {
	var f Facts
	var err error
	if f.Grants, err = a.grants.All(ctx); err != nil {
		return f, hold(FactsUnreadable, "%v", err)
	}
	if f.Node, err = a.node(ctx, r.Node); err != nil {
		return f, hold(FactsUnreadable, "%v", err)
	}
	if err := a.checkGone(ctx, f.Node); err != nil {
		return f, hold(EC2Unreachable, "%v", err)
	}
	if look.InstanceID != "" {
		f.Candidates, err = a.finder.ByID(ctx, look.InstanceID)
	} else {
		f.Candidates, err = a.finder.ByPrivateIP(ctx, look.PrivateIP)
	}
	if err != nil {
		return f, hold(EC2Unreachable, "%v", err)
	}
	f.Groups = map[string]*instances.Group{}
	for _, i := range f.Candidates {
		if i.Group == "" || !i.Alive() || i.VPC != a.policy.VPC {
			continue
		}
		if f.Groups[i.Group], err = a.finder.Group(ctx, i.Group); err != nil {
			return f, hold(EC2Unreachable, "%v", err)
		}
	}
	return f, nil
}

// node describes the Node of that name, but for what EC2 knows.
func (a *Approver) node(ctx context.Context, name string) (*Node, error) {
	n, err := a.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	out := &Node{UID: string(n.UID), Ready: ready(n)}
	_, out.ControlPlane = n.Labels["node-role.kubernetes.io/control-plane"]
	out.InstanceID, _ = instances.FromProviderID(n.Spec.ProviderID)
	return out, nil
}

func (a *Approver) checkGone(ctx context.Context, n *Node) error {
	if n == nil || n.InstanceID == "" {
		return nil
	}
	found, err := a.finder.ByID(ctx, n.InstanceID)
	n.InstanceGone = err == nil && (len(found) == 0 || found[0].Going())
	return err
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// execute does what the verdict says; again asks for another judgement later.
func (a *Approver) execute(ctx context.Context, c *certificatesv1.CertificateSigningRequest, r Request, f Facts, v Verdict) (again bool, err error) {
	switch {
	case v.Action == Hold:
		a.tell(ctx, c, r, v)
		if v.Reason == StaleNode {
			return true, a.deleteStale(ctx, r.Node, f.Node.UID)
		}
		return true, nil
	case v.Action == Approve:
		// Recorded first: dying in between costs one of the launch's grants,
		// the other order would give certificates that nobody remembers.
		err := a.grants.Record(ctx, v.Instance, r.Key, f.Grants[v.Instance.ID], time.Now())
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
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete stale node %s: %w", name, err)
	}
	a.log.Info("stale node deleted", "node", name, "uid", uid)
	return nil
}
