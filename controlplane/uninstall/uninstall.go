// Package uninstall removes from a cluster what Joinery left in it, once no controller
// runs any more: the marks of Nodes, the join tokens, the controller's memory and its
// Lease. Rights and policies are objects of the operator's own manifests, and what is in
// AWS is the operator's: neither is touched.
package uninstall

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/rotation"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/kube"
)

// Options are what the removal works with.
type Options struct {
	// Client of the API server, with the rights of the operator.
	Client kubernetes.Interface
	// DryRun writes nothing.
	DryRun bool
	// Now is the time by which the Lease is judged.
	Now time.Time
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

// Run removes what there is and returns it. Nothing is removed while a controller leads:
// that is ErrLed. Running it again goes on where a failure ended it.
func Run(ctx context.Context, o Options) ([]Line, error) {
	lease, err := o.Client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("read Lease: %w", err)
	}
	if err == nil && led(lease, o.Now) {
		return nil, fmt.Errorf("look at Lease kube-system/%s: it is held by %s: %w", lease.Name, *lease.Spec.HolderIdentity, ErrLed)
	}
	var all []Line
	var errs []error
	for _, step := range []func(context.Context, Options) ([]Line, error){nodes, tokens, configMaps, leases} {
		lines, err := step(ctx, o)
		all, errs = append(all, lines...), append(errs, err)
	}
	return all, errors.Join(errs...)
}

// led reports whether a Lease is held and not run out.
func led(l *coordinationv1.Lease, now time.Time) bool {
	s := l.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(s.RenewTime.Add(time.Duration(*s.LeaseDurationSeconds) * time.Second))
}

// nodes takes every Node's marks away: first that of a removal that was begun, with its
// cordon, then labels and annotations.
func nodes(ctx context.Context, o Options) ([]Line, error) {
	list, err := o.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var all []Line
	var errs []error
	for i := range list.Items {
		n := &list.Items[i]
		marks := marksOf(n)
		if len(marks.lines) == 0 {
			continue
		}
		all = append(all, marks.lines...)
		if !o.DryRun {
			errs = append(errs, drain.Unmark(ctx, o.Client, n.Name, n.UID), marks.remove(ctx, o.Client, n.Name))
		}
	}
	return all, errors.Join(errs...)
}

// tokens deletes Joinery's own, which bear the label of their cluster.
func tokens(ctx context.Context, o Options) ([]Line, error) {
	secrets := o.Client.CoreV1().Secrets(metav1.NamespaceSystem)
	list, err := secrets.List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ClusterLabel})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	var names []string
	for i := range list.Items {
		if list.Items[i].Type == corev1.SecretTypeBootstrapToken {
			names = append(names, list.Items[i].Name)
		}
	}
	return o.remove(ctx, "Secret", names, secrets.Delete)
}

// configMaps deletes what the parts of the controller, and adoption, remember.
func configMaps(ctx context.Context, o Options) ([]Line, error) {
	maps := o.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	var names []string
	for _, name := range []string{binder.RecordsName, csr.GrantsName, csr.ImagesName, rotation.ConfigMapName} {
		_, err := maps.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read ConfigMap %s: %w", name, err)
		}
		names = append(names, name)
	}
	return o.remove(ctx, "ConfigMap", names, maps.Delete)
}

func leases(ctx context.Context, o Options) ([]Line, error) {
	all := o.Client.CoordinationV1().Leases(metav1.NamespaceSystem)
	_, err := all.Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease: %w", err)
	}
	return o.remove(ctx, "Lease", []string{leader.LeaseName}, all.Delete)
}

// remove deletes objects of kube-system; one that is gone already is no error.
func (o Options) remove(ctx context.Context, kind string, names []string, remove func(context.Context, string, metav1.DeleteOptions) error) ([]Line, error) {
	var lines []Line
	var errs []error
	for _, name := range names {
		lines = append(lines, Line{Object: kind + "/" + name, Removed: whole})
		if o.DryRun {
			continue
		}
		if err := remove(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s %s: %w", kind, name, err))
		}
	}
	return lines, errors.Join(errs...)
}

// removal is the line of a Node that is marked for a removal.
func removal(n *corev1.Node) []Line {
	_, cordoned := n.Annotations[kube.CordonedAnnotation]
	switch {
	case cordoned:
		return []Line{{Object: "Node/" + n.Name, Removed: "the mark of a removal, and its cordon"}}
	case kube.Marked(n):
		return []Line{{Object: "Node/" + n.Name, Removed: "the mark of a removal"}}
	}
	return nil
}
