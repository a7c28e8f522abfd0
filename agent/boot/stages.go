package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/userdata"
)

// metadata is the part of imds.Client that a boot needs.
type metadata interface {
	Facts(ctx context.Context) (identity.Facts, error)
	UserData(ctx context.Context) ([]byte, error)
	Tag(ctx context.Context, key string) (string, error)
	LifecycleState(ctx context.Context) (imds.LifecycleState, error)
}

// membership tells and ends the machine's being a node.
type membership interface {
	Joined(nodeName string) error
	Reset(ctx context.Context) error
	// Identity names the credentials that the machine has as a node.
	Identity() string
	// Leave stops the kubelet and keeps the credentials.
	Leave(ctx context.Context) error
}

// joiner makes the machine a node.
type joiner interface {
	Configure(n join.Node) error
	Request(ctx context.Context, n join.Node, b *v1alpha1.JoinBundle) (join.Certificate, error)
	Join(ctx context.Context, b *v1alpha1.JoinBundle, c join.Certificate) error
	EnsureKubelet(ctx context.Context, restart bool) error
}

// Work is what the stages of a boot do and what they learn on the way. All
// exported fields must be set, but for State.
type Work struct {
	Metadata   metadata
	Membership membership
	Joiner     joiner
	// SetHostname names the machine.
	SetHostname func(ctx context.Context, name string) error
	// Quiet keeps the distribution's maintenance away; it returns what it changed.
	Quiet func(ctx context.Context) ([]string, error)
	// Fetch reads the join bundle.
	Fetch func(ctx context.Context, n join.Node) (*v1alpha1.JoinBundle, error)
	// Verify waits until the Node is Ready and returns its UID. It must be the Node
	// of uid unless that is empty, or the error is a *join.LostError.
	Verify func(ctx context.Context, n join.Node, uid string) (string, error)
	// Kept reports whether the API server accepts the machine's credentials and has
	// the Node of uid.
	Kept func(ctx context.Context, n join.Node, uid string) bool
	// Look returns how the Node of uid was lost; nil when it is there, or when the API
	// server does not say. It must return within the stage identity's limit.
	Look func(ctx context.Context, name, uid string) *join.LostError
	// Report publishes the first node report.
	Report func(ctx context.Context, n join.Node) error
	// Ready is called once the machine is known and no other's identity is on it.
	Ready func()
	// Save keeps the state.
	Save func(State) error
	// State is what an earlier run saved.
	State State
	// BootID is the kernel's id of this boot.
	BootID string
	Log    *slog.Logger

	node   join.Node
	bundle *v1alpha1.JoinBundle
	cert   join.Certificate
	// unregistered: the kubelet runs and the Node is not there.
	unregistered bool
}

// errNoBundle is met when a certificate ends between two stages.
var errNoBundle = errors.New("no longer joined: a bundle is needed")

// Node returns the node, once the stage identity has ended.
func (w *Work) Node() join.Node { return w.node }

// Stages returns the stages of a boot in their order. From leave to join they
// do nothing on a machine that is joined, so that a reboot needs neither SSM
// nor a token; a failure in between starts again with a fresh bundle.
func (w *Work) Stages() []Stage {
	return []Stage{
		{Name: "identity", Limit: 30 * time.Second, Run: w.identify},
		{Name: "gate", Limit: 15 * time.Second, Run: w.gate},
		{Name: "hostname", Limit: 30 * time.Second, Run: w.hostname},
		{Name: "quiet", Limit: time.Minute, Run: w.quiet},
		{Name: "leave", Limit: time.Minute, Run: w.leave},
		{Name: "fetch", Limit: 30 * time.Second, Run: w.fetch},
		{Name: "configure", Limit: 15 * time.Second, Run: w.configure},
		{Name: "certificate", Limit: 5 * time.Minute, Again: "fetch", Run: w.certificate},
		{Name: "join", Limit: 15 * time.Minute, Again: "fetch", Run: w.join},
		{Name: "verify", Limit: 2 * time.Minute, Again: "leave", Run: w.verify},
		{Name: "report", Limit: 30 * time.Second, Run: w.report},
	}
}

// identify learns what the machine is and what it is to become, and makes away
// with an identity that belongs to another instance.
func (w *Work) identify(ctx context.Context) error {
	facts, err := w.Metadata.Facts(ctx)
	if err != nil {
		return err
	}
	if was := w.State.InstanceID; was != "" && was != facts.InstanceID {
		w.Log.Warn("image was made of another node: resetting", "was", was, "is", facts.InstanceID)
		if err := w.Membership.Reset(ctx); err != nil {
			return err
		}
		w.State = State{}
	}
	if err := w.stay(ctx); err != nil {
		return err
	}
	w.Ready()
	config, err := w.nodeConfig(ctx)
	if err != nil {
		return err
	}
	if w.node, err = join.NewNode(facts, config); err != nil {
		return &ConfigError{err}
	}
	if w.State.BootID != w.BootID {
		w.State.BootID, w.State.Complete, w.State.Boot = w.BootID, false, nil
	}
	w.State.InstanceID, w.State.NodeName = facts.InstanceID, w.node.Name
	return w.Save(w.State)
}

// nodeConfig reads the NodeConfig from user data, or makes one for the cluster
// that the instance's tag names.
func (w *Work) nodeConfig(ctx context.Context) (*v1alpha1.NodeConfig, error) {
	raw, err := w.Metadata.UserData(ctx)
	if err != nil && !errors.Is(err, imds.ErrAbsent) {
		return nil, err
	}
	config, err := userdata.Parse(raw)
	if err == nil {
		return config, nil
	}
	if !errors.Is(err, userdata.ErrAbsent) {
		return nil, &ConfigError{fmt.Errorf("user data: %w", err)}
	}
	cluster, err := w.Metadata.Tag(ctx, v1alpha1.ClusterTag)
	if errors.Is(err, imds.ErrAbsent) {
		return nil, &ConfigError{fmt.Errorf("%w, and the instance metadata no tag %s", userdata.ErrAbsent, v1alpha1.ClusterTag)}
	}
	if err != nil {
		return nil, err
	}
	if config, err = v1alpha1.NodeConfigFor(cluster); err != nil {
		return nil, &ConfigError{fmt.Errorf("tag %s: %w", v1alpha1.ClusterTag, err)}
	}
	return config, nil
}

// lookAtGate is how often the target lifecycle state is read; the answer comes
// from the hypervisor and costs nothing.
const lookAtGate = time.Second

// gate holds an instance back while it is for a warm pool, or on its way out:
// it would join and then be stopped.
func (w *Work) gate(ctx context.Context) error {
	if w.joined() {
		return nil
	}
	state, err := w.Metadata.LifecycleState(ctx)
	switch {
	case errors.Is(err, imds.ErrAbsent):
		return nil
	case err != nil:
		return err
	case state.Warmed() || state == imds.Terminated:
		return &WaitError{For: fmt.Sprintf("the Auto Scaling group to want the instance in service (it wants %s)", state), Every: lookAtGate}
	}
	return nil
}

func (w *Work) hostname(ctx context.Context) error { return w.SetHostname(ctx, w.node.Name) }

func (w *Work) quiet(ctx context.Context) error {
	changed, err := w.Quiet(ctx)
	if len(changed) > 0 {
		w.Log.Info("maintenance masked until the next boot", "units", changed)
	}
	return err
}

func (w *Work) fetch(ctx context.Context) (err error) {
	if w.joined() {
		return nil
	}
	if w.bundle, err = w.Fetch(ctx, w.node); err != nil {
		return err
	}
	w.Log.Info("join bundle read", "parameter", w.node.Spec.Parameter, "token", w.bundle.TokenID(), "expires", w.bundle.ExpiresAt)
	return nil
}

func (w *Work) configure(context.Context) error {
	if w.joined() {
		return nil
	}
	return w.Joiner.Configure(w.node)
}

func (w *Work) certificate(ctx context.Context) (err error) {
	if w.joined() {
		return nil
	}
	if w.bundle == nil {
		return errNoBundle
	}
	w.cert, err = w.Joiner.Request(ctx, w.node, w.bundle)
	return err
}

func (w *Work) join(ctx context.Context) error {
	if w.joined() {
		if err := w.rejoined(); err != nil {
			return err
		}
		return w.Joiner.EnsureKubelet(ctx, w.unregistered)
	}
	if w.bundle == nil {
		return errNoBundle
	}
	// Whatever Node there will be, it is another one. A crash from here on finds
	// that saved.
	w.State.NodeUID = ""
	if err := w.Save(w.State); err != nil {
		return err
	}
	err := w.Joiner.Join(ctx, w.bundle, w.cert)
	w.cert = join.Certificate{}
	if err != nil {
		return err
	}
	if err := w.Membership.Joined(w.node.Name); err != nil {
		return fmt.Errorf("after kubeadm join: %w", err)
	}
	w.State.TokenID = w.bundle.TokenID()
	w.bundle = nil
	w.unregistered = false
	w.settle()
	if err := w.Save(w.State); err != nil {
		return err
	}
	return w.Joiner.EnsureKubelet(ctx, false)
}

// verify remembers that the Node was missing: a kubelet registers only when it
// starts, so that one that never registered has to be started again. A Node that
// was there before is lost, and then the machine joins again.
func (w *Work) verify(ctx context.Context) error {
	uid, err := w.Verify(ctx, w.node, w.State.NodeUID)
	var lost *join.LostError
	if errors.As(err, &lost) {
		w.unregistered = false
		return errors.Join(err, w.Lose(lost))
	}
	var lacking *join.NotReadyError
	w.unregistered = errors.As(err, &lacking) && lacking.Missing
	if err != nil || uid == w.State.NodeUID {
		return err
	}
	w.State.NodeUID = uid
	return w.Save(w.State)
}

func (w *Work) report(ctx context.Context) error { return w.Report(ctx, w.node) }
