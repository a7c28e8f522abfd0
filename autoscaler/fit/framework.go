package fit

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// staticFilter is the part of the scheduler that looks at one pod and one node
// only, and what a plan must know of the rest of its profile. It is made once for
// each Profile.
type staticFilter struct {
	fw      framework.Framework
	filters []string
	// addedAffinity is what the profile asks of the nodes of every pod.
	addedAffinity *corev1.NodeSelector
	// ignored are the resources, and with a trailing slash the groups of
	// resources, that the profile does not count.
	ignored []string
}

// defaultProfile is what a plan takes that is given no profile.
var defaultProfile = sync.OnceValues(DefaultProfile)

// statics gives the profile's static filter. A nil Profile stands for the default
// one.
func (p *Profile) statics() (*staticFilter, error) {
	if p == nil {
		var err error
		if p, err = defaultProfile(); err != nil {
			return nil, err
		}
	}
	p.once.Do(func() { p.static, p.staticErr = p.newStatic() })
	return p.static, p.staticErr
}

func (p *Profile) newStatic() (*staticFilter, error) {
	only := []string{names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity}
	// The framework starts a goroutine for its metrics, which nobody reads here:
	// it ends at once.
	life := lifetime{done: make(chan struct{})}
	defer close(life.done)
	fw, err := p.framework(life, nil, informers.NewSharedInformerFactory(nil, 0), only,
		runtime.WithMetricsRecorder(&metrics.MetricAsyncRecorder{}))
	if err != nil {
		return nil, err
	}
	f := &staticFilter{fw: fw, filters: p.filters}
	for _, c := range p.args {
		switch args := c.Args.(type) {
		case *config.NodeAffinityArgs:
			if args.AddedAffinity != nil {
				f.addedAffinity = args.AddedAffinity.RequiredDuringSchedulingIgnoredDuringExecution
			}
		case *config.NodeResourcesFitArgs:
			f.ignored = slices.Clone(args.IgnoredResources)
			for _, g := range args.IgnoredResourceGroups {
				f.ignored = append(f.ignored, g+"/")
			}
		}
	}
	return f, nil
}

// enabled reports whether a filter plugin is part of the profile.
func (f *staticFilter) enabled(name string) bool { return slices.Contains(f.filters, name) }

// ignores reports whether the scheduler does not count the resource.
func (f *staticFilter) ignores(name corev1.ResourceName) bool {
	if !f.enabled(names.NodeResourcesFit) {
		return true
	}
	for _, i := range f.ignored {
		if string(name) == i || strings.HasSuffix(i, "/") && strings.HasPrefix(string(name), i) {
			return true
		}
	}
	return false
}

// refusal tells why the scheduler would not put the pod on an empty node like
// this one, nil when it would.
func (f *staticFilter) refusal(pod *corev1.Pod, node *corev1.Node) *Reason {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	// A plan does no I/O and is never cut off: its context never ends.
	status := f.fw.RunFilterPlugins(lifetime{}, framework.NewCycleState(), pod, info)
	if status.IsSuccess() {
		return nil
	}
	return reasonOf(status, pod, info)
}

// lifetime is a context that ends when done is closed, never when it is nil.
type lifetime struct{ done chan struct{} }

// Deadline says that there is none.
func (l lifetime) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed at the end.
func (l lifetime) Done() <-chan struct{} { return l.done }

// Value knows none.
func (l lifetime) Value(any) any { return nil }

// Err is nil until the end.
func (l lifetime) Err() error {
	select {
	case <-l.done:
		return context.Canceled
	default:
		return nil
	}
}
