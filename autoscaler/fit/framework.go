package fit

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// withoutClaims are the filter plugins that need no more than a snapshot: all
// but those for volume claims.
func withoutClaims() []string {
	return []string{
		names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity, names.NodePorts,
		names.NodeResourcesFit, names.VolumeRestrictions, names.PodTopologySpread, names.InterPodAffinity,
	}
}

// newFramework builds the framework of the default profile over the snapshot.
func newFramework(ctx context.Context, s *cluster.Snapshot) (framework.Framework, error) {
	profile, err := DefaultProfile()
	if err != nil {
		return nil, err
	}
	factory, err := staticInformers(s.Namespaces())
	if err != nil {
		return nil, err
	}
	return profile.Framework(ctx, s.SharedLister(), factory, withoutClaims()...)
}

// staticInformers is an informer factory that is never started: the plugins'
// listers read what is put into its indexers here.
func staticInformers(namespaces []*corev1.Namespace) (informers.SharedInformerFactory, error) {
	factory := informers.NewSharedInformerFactory(nil, 0)
	indexer := factory.Core().V1().Namespaces().Informer().GetIndexer()
	for _, ns := range namespaces {
		if err := indexer.Add(ns); err != nil {
			return nil, fmt.Errorf("list namespace %s: %w", ns.Name, err)
		}
	}
	return factory, nil
}

// lifetime is the context of a Checker: it has no deadline and ends with Close.
// A plan does no I/O and hence takes no context from outside.
type lifetime struct{ done chan struct{} }

func (l lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }
func (l lifetime) Done() <-chan struct{}       { return l.done }
func (l lifetime) Value(any) any               { return nil }

func (l lifetime) Err() error {
	select {
	case <-l.done:
		return context.Canceled
	default:
		return nil
	}
}
