// Package uninstall removes from a cluster what Joinery left in it, once no controller
// runs any more: the marks of Nodes, the join tokens, the controller's memory and its
// Lease. Rights and policies are objects of the operator's own manifests, and what is in
// AWS is the operator's: neither is touched.
package uninstall

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/rotation"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/durable"
)

// Options are what the removal works with.
type Options struct {
	// Client of the API server, with the rights of the operator.
	Client kubernetes.Interface
	// DryRun writes nothing.
	DryRun bool
}

// Line is one thing that was removed, or with DryRun would be.
type Line struct {
	// Object is what holds it, as kind/name.
	Object string `json:"object"`
	// Removed is what goes: the whole object or a part of it.
	Removed string `json:"removed"`
}

// whole is the Removed of an object that goes altogether.
const whole = "the object"

// ErrLed says that a controller still leads.
var ErrLed = errors.New("a controller leads: stop joinery-controller on every control-plane node first")

// Run removes what there is and returns what it removed. Nothing is removed while a
// controller leads: that is ErrLed, which may take the duration of the Lease to say. No
// controller begins to lead meanwhile: Run holds the Lease. Running it again goes on where
// a failure ended it.
func Run(ctx context.Context, o Options) ([]Line, error) {
	lease, err := unled(ctx, o.Client)
	if err != nil {
		return nil, err
	}
	r := &removal{Options: o}
	if !o.DryRun {
		if r.hold, err = take(ctx, o.Client, lease); err != nil {
			return nil, err
		}
	}
	err = errors.Join(r.nodes(ctx), r.tokens(ctx), r.configMaps(ctx), r.lease(ctx, lease != nil))
	return r.lines, errors.Join(err, r.led)
}

// removal is a Run under way.
type removal struct {
	Options
	hold  *hold // nil with DryRun
	lines []Line
	led   error // why nothing more may be written
}

// do writes, and notes what that removed. With DryRun it only notes. Once the Lease is
// lost it does nothing.
func (r *removal) do(ctx context.Context, lines []Line, write func(context.Context) error) error {
	if r.led != nil {
		return nil
	}
	if !r.DryRun {
		if err := r.hold.keep(ctx); errors.Is(err, ErrLed) {
			r.led = err
			return nil
		} else if err != nil {
			return err
		}
		if err := write(ctx); err != nil {
			return err
		}
	}
	r.lines = append(r.lines, lines...)
	return nil
}

// nodes takes every Node's marks away.
func (r *removal) nodes(ctx context.Context) error {
	list, err := r.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	var errs []error
	for i := range list.Items {
		errs = append(errs, r.node(ctx, &list.Items[i]))
	}
	return errors.Join(errs...)
}

// tokens deletes Joinery's own, which bear the label of their cluster.
func (r *removal) tokens(ctx context.Context) error {
	secrets := r.Client.CoreV1().Secrets(metav1.NamespaceSystem)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ClusterLabel})
	if err != nil {
		return fmt.Errorf("list tokens: %w", err)
	}
	var names []string
	for i := range list.Items {
		if list.Items[i].Type == corev1.SecretTypeBootstrapToken {
			names = append(names, list.Items[i].Name)
		}
	}
	return r.remove(ctx, "Secret", names, secrets.Delete)
}

// configMaps deletes what the parts of the controller, and adoption, remember.
func (r *removal) configMaps(ctx context.Context) error {
	maps := r.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	var names []string
	for _, name := range []string{binder.RecordsName, csr.GrantsName, csr.ImagesName, rotation.ConfigMapName, durable.Name} {
		_, err := maps.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read ConfigMap %s: %w", name, err)
		}
		names = append(names, name)
	}
	return r.remove(ctx, "ConfigMap", names, maps.Delete)
}

// lease deletes our Lease. Only one that was there before is told of.
func (r *removal) lease(ctx context.Context, before bool) error {
	var lines []Line
	if before {
		lines = []Line{{Object: "Lease/" + leader.LeaseName, Removed: whole}}
	}
	return r.do(ctx, lines, func(ctx context.Context) error { return r.hold.remove(ctx) })
}

// remove deletes objects of kube-system; one that is gone already is no error.
func (r *removal) remove(ctx context.Context, kind string, names []string, remove func(context.Context, string, metav1.DeleteOptions) error) error {
	var errs []error
	for _, name := range names {
		err := r.do(ctx, []Line{{Object: kind + "/" + name, Removed: whole}}, func(ctx context.Context) error {
			return remove(ctx, name, metav1.DeleteOptions{})
		})
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s %s: %w", kind, name, err))
		}
	}
	return errors.Join(errs...)
}
