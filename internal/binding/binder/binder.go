// Package binder applies the binding to the cluster as it is: it gathers the Nodes,
// what EC2 says about the instances that they claim and what an operator adopted,
// and has binding.Judge decide. All is for planning, from answers that are shared
// and a little old; Fresh is for the moment before a write.
package binder

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/drive"
	"github.com/joinery/joinery/internal/kube"
)

// witness is the part of awsfleet.Reader that Binder uses.
type witness interface {
	Evidence(ctx context.Context, q binding.Questions, maxAge time.Duration) (binding.Evidence, error)
}

// Records are what an operator adopted.
type Records interface {
	// Records returns the records that can be read, along with an *EntryError if
	// some cannot. Any other error says that nothing is known.
	Records(context.Context) (binding.Records, error)
}

// Options are what a Binder needs; all are required.
type Options struct {
	// Nodes lists the cluster's Nodes, as an informer knows them, with at least
	// name, UID, labels, provider id and addresses. They are not changed.
	Nodes func() ([]*corev1.Node, error)
	// Client of the API server, which Fresh reads from.
	Client kubernetes.Interface
	// Fleet is asked about instances.
	Fleet witness
	// Adopted Nodes.
	Adopted Records
	// Rules of the cluster.
	Rules binding.Rules
	// Log gets what is wrong with records, once.
	Log *slog.Logger
}

// recordAge is how old adoption records may be, however old an answer of EC2 may be:
// an operator who adopts a Node waits for it to count.
const recordAge = time.Minute

// Access is what a Binder does with the API server.
var Access = []drive.Access{
	{Resource: "nodes", Verbs: []string{"get"}},
	{Resource: "configmaps", Verbs: []string{"get"}, Namespace: RecordsNamespace, Names: []string{RecordsName}},
}

// Binder says how Nodes stand. It is safe for concurrent use.
type Binder struct {
	o Options

	mu      sync.Mutex // guards what follows
	records binding.Records
	readAt  time.Time // when records were read
	told    string    // what was last logged of bad records
}

// New returns a Binder that has not asked anything yet.
func New(o Options) *Binder { return &Binder{o: o} }

// ChangedError says that a Node is not the one that was meant: it is gone, or another
// has its name.
type ChangedError struct {
	// Node is its name.
	Node string
	// Meant is the UID that was asked for, Found the one that is there; empty for no
	// Node.
	Meant, Found types.UID
}

// Error says which Node was found instead.
func (e *ChangedError) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("node %s with UID %s is gone", e.Node, e.Meant)
	}
	return fmt.Sprintf("node %s has UID %s: expected %s", e.Node, e.Found, e.Meant)
}

// NodeOf returns what a Node says about itself.
func NodeOf(n *corev1.Node) binding.Node {
	return binding.Node{
		Name: n.Name, UID: string(n.UID), ProviderID: n.Spec.ProviderID,
		Addresses: kube.InternalAddresses(n), ControlPlane: kube.ControlPlane(n),
	}
}

// All returns how every Node stands, by name, from what AWS and the adoption records
// said no longer than maxAge ago. It is for planning; before a write it has to be
// asked again with Fresh. An error means that nothing is known.
func (b *Binder) All(ctx context.Context, maxAge time.Duration) (map[string]binding.Verdict, error) {
	nodes, err := b.known()
	if err != nil {
		return nil, err
	}
	records, err := b.adopted(ctx, min(maxAge, recordAge))
	if err != nil {
		return nil, err
	}
	evidence, err := b.o.Fleet.Evidence(ctx, binding.Ask(nodes, records, b.o.Rules), maxAge)
	if err != nil {
		return nil, fmt.Errorf("ask EC2 about the instances of nodes: %w", err)
	}
	return binding.Judge(nodes, evidence, records, b.o.Rules), nil
}

// Renew has EC2 asked again about the instances that the named Nodes claim, unless it
// was asked less than maxAge ago. The next All answers from that.
func (b *Binder) Renew(ctx context.Context, names []string, maxAge time.Duration) error {
	known, err := b.known()
	if err != nil {
		return err
	}
	records, err := b.adopted(ctx, maxAge)
	if err != nil {
		return err
	}
	nodes := slices.DeleteFunc(known, func(n binding.Node) bool { return !slices.Contains(names, n.Name) })
	if _, err := b.o.Fleet.Evidence(ctx, binding.Ask(nodes, records, b.o.Rules), maxAge); err != nil {
		return fmt.Errorf("ask EC2 about the instances of %d nodes: %w", len(nodes), err)
	}
	return nil
}

// Fresh returns how one Node stands now: it and every other Node that may be the same
// instance are read from the API server, and EC2 is asked. A *ChangedError says that
// the Node of that name is not the one with uid.
func (b *Binder) Fresh(ctx context.Context, name string, uid types.UID) (binding.Verdict, error) {
	target, found, err := b.read(ctx, name)
	switch {
	case err != nil:
		return binding.Verdict{}, err
	case !found || target.UID != string(uid):
		return binding.Verdict{}, &ChangedError{Node: name, Meant: uid, Found: types.UID(target.UID)}
	}
	records, err := b.adopted(ctx, 0)
	if err != nil {
		return binding.Verdict{}, err
	}
	nodes := []binding.Node{target}
	evidence, err := b.ask(ctx, nodes, records)
	if err != nil {
		return binding.Verdict{}, err
	}
	verdict := binding.Judge(nodes, evidence, records, b.o.Rules)[name]
	rivals, err := b.rivals(ctx, target, verdict, records)
	if err != nil || len(rivals) == 0 {
		return verdict, err
	}
	nodes = append(nodes, rivals...)
	if evidence, err = b.ask(ctx, nodes, records); err != nil {
		return binding.Verdict{}, err
	}
	return binding.Judge(nodes, evidence, records, b.o.Rules)[name], nil
}

func (b *Binder) ask(ctx context.Context, nodes []binding.Node, records binding.Records) (binding.Evidence, error) {
	e, err := b.o.Fleet.Evidence(ctx, binding.Ask(nodes, records, b.o.Rules), 0)
	if err != nil {
		return e, fmt.Errorf("ask EC2 about the instance of node %s: %w", nodes[0].Name, err)
	}
	return e, nil
}

// rivals reads the other Nodes that may be the target's instance: those that claim
// it as far as the informer knows, the one that EC2's facts give its name to, and
// those that were adopted as it. The latter two are all that binding.Judge could
// prefer to the target, and hence are read though the informer may not know them.
func (b *Binder) rivals(ctx context.Context, target binding.Node, v binding.Verdict, records binding.Records) ([]binding.Node, error) {
	known, err := b.known()
	if err != nil {
		return nil, err
	}
	same := func(n binding.Node) bool {
		q := binding.Ask([]binding.Node{n}, records, b.o.Rules)
		byAddress := v.Instance != nil && slices.ContainsFunc(q.IPs, func(ip netip.Addr) bool { return ip.String() == v.Instance.PrivateIP })
		return v.InstanceID != "" && slices.Contains(q.IDs, v.InstanceID) || byAddress
	}
	names := map[string]bool{}
	for _, n := range known {
		if same(n) {
			names[n.Name] = true
		}
	}
	for name, r := range records {
		if same(binding.Node{Name: name, UID: r.UID, ProviderID: r.ProviderID}) {
			names[name] = true
		}
	}
	if v.Instance != nil {
		if name, err := v.Instance.NodeName(b.o.Rules.Region, b.o.Rules.Mode); err == nil {
			names[name] = true
		}
	}
	delete(names, target.Name)
	var out []binding.Node
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n, found, err := b.read(ctx, name)
		if err != nil {
			return nil, err
		}
		if found {
			out = append(out, n)
		}
	}
	return out, nil
}

// read reads a Node from the API server; false when there is none.
func (b *Binder) read(ctx context.Context, name string) (binding.Node, bool, error) {
	n, err := b.o.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return binding.Node{}, false, nil
	case err != nil:
		return binding.Node{}, false, fmt.Errorf("read node %s: %w", name, err)
	}
	return NodeOf(n), true, nil
}

func (b *Binder) known() ([]binding.Node, error) {
	list, err := b.o.Nodes()
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	nodes := make([]binding.Node, 0, len(list))
	for _, n := range list {
		nodes = append(nodes, NodeOf(n))
	}
	return nodes, nil
}

// adopted returns the records, read no longer than maxAge ago. A record that cannot be
// read is logged, and its Node is not adopted.
func (b *Binder) adopted(ctx context.Context, maxAge time.Duration) (binding.Records, error) {
	now := time.Now()
	b.mu.Lock()
	records, readAt := b.records, b.readAt
	b.mu.Unlock()
	if !readAt.IsZero() && now.Sub(readAt) < maxAge {
		return records, nil
	}
	records, err := b.o.Adopted.Records(ctx)
	var bad *EntryError
	if err != nil && !errors.As(err, &bad) {
		return nil, fmt.Errorf("read adopted nodes: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.After(b.readAt) {
		b.records, b.readAt = records, now
	}
	b.tell(bad)
	return records, nil
}

// tell logs what is wrong with records if it is news; b.mu is held.
func (b *Binder) tell(bad *EntryError) {
	text := ""
	if bad != nil {
		text = bad.Error()
	}
	if text != "" && text != b.told {
		b.o.Log.Warn("adoption records cannot be read", "error", bad)
	}
	b.told = text
}
