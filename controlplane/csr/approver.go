package csr

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/kube"
)

// finder is the part of awsfleet.Reader that Approver uses.
type finder interface {
	ByPrivateIP(context.Context, netip.Addr) ([]fleet.Instance, error)
	ByID(context.Context, ...string) ([]fleet.Instance, error)
	Group(ctx context.Context, name string, maxAge time.Duration) (*fleet.Group, error)
	// Pool returns the instances in a group's warm pool.
	Pool(ctx context.Context, group string, maxAge time.Duration) ([]fleet.Member, error)
	// Instances returns the cluster's instances in any state.
	Instances(ctx context.Context, maxAge time.Duration) ([]fleet.Instance, error)
	// Managed returns the cluster's groups.
	Managed(ctx context.Context, maxAge time.Duration) ([]fleet.Group, error)
}

// tokens is the part of token.Rotator that Approver uses.
type tokens interface {
	// Issued says whether the bootstrap token of that id is ours, existed when
	// something was asked for with it, and was not revoked.
	Issued(ctx context.Context, id string, asked time.Time) (bool, error)
}

// verifier is the part of attest.Verifier that Approver uses.
type verifier interface {
	// Verify returns who signed proof for a request that was created at created.
	Verify(ctx context.Context, proof string, request []byte, created, now time.Time) (attest.Identity, error)
}

// backoff bounds the wait before a request that is held is judged again.
var backoff = drive.Backoff{First: 200 * time.Millisecond, Last: 10 * time.Second}

// workers judge requests side by side, one of each lane, so that a slow answer
// about one instance delays no other.
const workers = 16

// timeout bounds one judgement, so that connections that hang do not end all
// judging.
const timeout = 30 * time.Second

// judgement is how a request is judged.
type judgement func(context.Context, Request) (Facts, Verdict)

// Approver judges requests as they arrive.
type Approver struct {
	client   kubernetes.Interface
	store    store
	finder   finder
	tokens   tokens
	legacy   tokens // nil: there are none
	verifier verifier
	grants   *Grants
	images   *Images
	events   record.EventRecorder
	metrics  *Metrics
	log      *slog.Logger
	policy   Policy
	queue    *drive.Queue[item]
	meter    *drive.Meter
	alive    func() // nil: nobody wants to know
	binding  binds
	lanes    *lanes
	pace     *rate.Limiter // of sweeping
	alarmed  time.Time     // when it was last said that too many wait; of sweep alone
	wake     *drive.Wake   // for a look at the instances that may be joining
	swept    *drive.Wake   // for a sweep
	wanted   atomic.Bool   // such a look
	looked   time.Time     // when the last one ended; of lookOut alone
	pause    time.Duration // until the next one, 0 while none is due; of lookOut alone
	memory
}

// item is a lane of requests, or a Node by its name that became Ready.
type item struct {
	lane   laneKey
	joined string
}

// String names the item in logs.
func (i item) String() string { return cmp.Or(i.joined, i.lane.claim, i.lane.requester) }

// store is the part of observe.Store that Approver uses.
type store interface {
	FollowNodes(context.Context, cache.ResourceEventHandler) (stop func(), err error)
}

// Access is what an Approver does with the API server.
var Access = []drive.Access{
	{Group: "certificates.k8s.io", Resource: "certificatesigningrequests", Verbs: []string{"get", "list", "watch"}},
	{Group: "certificates.k8s.io", Resource: "certificatesigningrequests/approval", Verbs: []string{"update"}},
	{Group: "certificates.k8s.io", Resource: "signers", Verbs: []string{"approve"}, Names: []string{certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName}},
	{Resource: "nodes", Verbs: []string{"get", "list", "watch", "patch", "delete"}},
	{Resource: "events", Verbs: []string{"create", "patch"}},
	{Resource: "configmaps", Verbs: []string{"get", "update"}, Namespace: metav1.NamespaceSystem, Names: []string{"joinery-grants", "joinery-proven-images"}},
	{Resource: "configmaps", Verbs: []string{"create"}, Namespace: metav1.NamespaceSystem},
	{Resource: "configmaps", Verbs: []string{"get"}, Namespace: binder.RecordsNamespace, Names: []string{binder.RecordsName}},
}

// Deps are what an Approver works with.
type Deps struct {
	// Client of the API server.
	Client kubernetes.Interface
	// Store has the Nodes.
	Store store
	// Finder asks AWS.
	Finder finder
	// Binding says how a Node stands to the instances of EC2.
	Binding binds
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
	// Meter counts judgements, sweeps and looks at EC2; nil for none.
	Meter *drive.Meter
	// Log gets one line for each verdict.
	Log *slog.Logger
	// Alive, unless nil, is called every minute while a worker is free to judge.
	Alive func()
}

// NewApprover returns an approver that judges by p.
func NewApprover(d Deps, p Policy) *Approver {
	return &Approver{
		client: d.Client, store: d.Store, finder: d.Finder, tokens: d.Tokens, legacy: d.LegacyTokens, verifier: d.Verifier,
		events: d.Events, metrics: d.Metrics, log: d.Log.With("part", "csr"), policy: p,
		grants: NewGrants(d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem), p.LaunchWindow),
		images: NewImages(d.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)),
		queue:  drive.NewQueue[item](backoff), meter: d.Meter,
		alive: d.Alive, binding: d.Binding,
		lanes: newLanes(p.JudgedPerMinute, p.JudgedAtOnce), pace: rate.NewLimiter(rate.Every(sweepEvery), sweptAtOnce), wake: drive.NewWake(), swept: drive.NewWake(),
		memory: newMemory(),
	}
}

// handle reads a request and does what judge decides about it; again asks for
// another judgement later.
func (a *Approver) handle(ctx context.Context, name string, judge judgement) (again bool, err error) {
	c, err := a.client.CertificatesV1().CertificateSigningRequests().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read request: %w", err)
	}
	if !a.judges(KindOf(c)) {
		return false, nil
	}
	r := Parse(c)
	if v := superseded(c); v != nil {
		return a.execute(ctx, c, r, Facts{}, *v)
	}
	if v := a.checkToken(ctx, r); v != nil {
		return a.execute(ctx, c, r, Facts{}, *v)
	}
	f, v := judge(ctx, r)
	return a.execute(ctx, c, r, f, v)
}

// judges says whether requests of a kind are decided about here.
func (a *Approver) judges(k Kind) bool { return k != "" && (k != Serving || !a.policy.ServingDisabled) }

// checkToken returns a verdict unless the requester's token is ours. Another
// token may be given our group by whoever may make Secrets in kube-system, and
// deleting a token's Secret revokes what was asked for with it.
func (a *Approver) checkToken(ctx context.Context, r Request) *Verdict {
	id, holder := strings.CutPrefix(r.Requester, kube.BootstrapUserPrefix)
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
	t := tokenID{id: id, legacy: r.Legacy}
	if a.ourToken(t, r.Created) {
		return nil
	}
	ours, err := known.Issued(ctx, id, r.Created)
	switch {
	case err != nil:
		return hold(FactsUnreadable, "%v", err)
	case !ours:
		return &Verdict{Action: Ignore, Reason: UnknownToken, Message: "token " + id + " is none of this cluster's, or was revoked: left to others"}
	}
	a.rememberToken(t, r.Created)
	return nil
}
