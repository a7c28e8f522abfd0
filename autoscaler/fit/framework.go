package fit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// filters are the filter plugins of the default profile, in its order, without
// those for volumes claims and resource claims (see the package comment).
func filters() []string {
	return []string{
		names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity, names.NodePorts,
		names.NodeResourcesFit, names.VolumeRestrictions, names.PodTopologySpread, names.InterPodAffinity,
	}
}

// preFilters are those of filters that prepare for a pod before its nodes.
func preFilters() []string {
	return []string{
		names.NodeAffinity, names.NodePorts, names.NodeResourcesFit, names.VolumeRestrictions,
		names.PodTopologySpread, names.InterPodAffinity,
	}
}

// initMetrics makes the metrics that the framework counts in whenever it runs.
// They are not registered anywhere: simulated scheduling is not to be seen in
// the controller's metrics.
var initMetrics = sync.OnceFunc(metrics.InitMetrics)

// newFramework builds the scheduler's framework over the snapshot. It has no
// client and starts no informer; ctx ends its metrics recorder.
func newFramework(ctx context.Context, s *cluster.Snapshot) (framework.Framework, error) {
	initMetrics()
	profile, err := profile()
	if err != nil {
		return nil, err
	}
	factory, err := staticInformers(s.Namespaces())
	if err != nil {
		return nil, err
	}
	fw, err := runtime.NewFramework(ctx, plugins.NewInTreeRegistry(), profile,
		runtime.WithInformerFactory(factory),
		runtime.WithSnapshotSharedLister(s.SharedLister()),
		runtime.WithLogger(klog.Logger{}))
	if err != nil {
		return nil, fmt.Errorf("build scheduler framework: %w", err)
	}
	return fw, nil
}

// profile is the default profile cut down to filtering. A framework must have a
// queue order and a binder even though neither is used here.
func profile() (*config.KubeSchedulerProfile, error) {
	cfg, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("read default scheduler profile: %w", err)
	}
	if len(cfg.Profiles) != 1 {
		return nil, fmt.Errorf("read default scheduler profile: %d profiles", len(cfg.Profiles))
	}
	p := cfg.Profiles[0]
	p.Plugins = &config.Plugins{
		QueueSort: pluginSet(names.PrioritySort),
		PreFilter: pluginSet(preFilters()...),
		Filter:    pluginSet(filters()...),
		Bind:      pluginSet(names.DefaultBinder),
	}
	p.PluginConfig = slices.DeleteFunc(p.PluginConfig, func(c config.PluginConfig) bool {
		return !slices.Contains(filters(), c.Name)
	})
	return &p, nil
}

func pluginSet(names ...string) config.PluginSet {
	var set config.PluginSet
	for _, n := range names {
		set.Enabled = append(set.Enabled, config.Plugin{Name: n})
	}
	return set
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
