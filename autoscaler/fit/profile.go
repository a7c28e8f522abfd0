package fit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

// Profile is one profile of the cluster's kube-scheduler cut down to filtering:
// which filter plugins run, in which order and with which arguments. Scoring is
// left out, since which of the possible nodes the scheduler prefers is never
// asked.
type Profile struct {
	preFilters, filters []string
	args                []config.PluginConfig

	once      sync.Once // guards what follows
	static    *staticFilter
	staticErr error
}

// simulated are the filter plugins of kube-scheduler that a Profile can hold.
// Those that are missing here ask for what no snapshot holds (see the package
// comment), or judge pods that have a node already.
func simulated() []string {
	return []string{
		names.NodeName, names.NodeUnschedulable, names.TaintToleration, names.NodeAffinity, names.NodePorts,
		names.NodeResourcesFit, names.VolumeRestrictions, names.NodeVolumeLimits, names.VolumeBinding,
		names.VolumeZone, names.PodTopologySpread, names.InterPodAffinity,
	}
}

// DefaultProfile is the profile of a kube-scheduler that was given no
// configuration.
func DefaultProfile() (*Profile, error) {
	cfg, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("read default scheduler profile: %w", err)
	}
	return pick(cfg, corev1.DefaultSchedulerName)
}

// ReadProfile reads the profile of the named scheduler (the default scheduler
// when empty) out of a KubeSchedulerConfiguration file. The file must be one
// that kube-scheduler itself takes, and its filtering must be such that it can
// be simulated. The error holds every problem with its field.
func ReadProfile(data []byte, schedulerName string) (*Profile, error) {
	obj, gvk, err := scheme.Codecs.UniversalDecoder().Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("read scheduler configuration: %w", err)
	}
	cfg, ok := obj.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("read scheduler configuration: it is a %s", gvk.Kind)
	}
	// Decoding clears the version, and validation asks for it.
	cfg.APIVersion = gvk.GroupVersion().String()
	if err := validation.ValidateKubeSchedulerConfiguration(cfg); err != nil {
		return nil, fmt.Errorf("read scheduler configuration: %w", err)
	}
	if schedulerName == "" {
		schedulerName = corev1.DefaultSchedulerName
	}
	return pick(cfg, schedulerName)
}

// pick makes a Profile of the scheduler's profile in a valid configuration.
func pick(cfg *config.KubeSchedulerConfiguration, schedulerName string) (*Profile, error) {
	at := slices.IndexFunc(cfg.Profiles, func(p config.KubeSchedulerProfile) bool { return p.SchedulerName == schedulerName })
	if at < 0 {
		var have []string
		for _, p := range cfg.Profiles {
			have = append(have, p.SchedulerName)
		}
		missing := field.Invalid(field.NewPath("profiles"), strings.Join(have, ", "), fmt.Sprintf("no profile has schedulerName %q", schedulerName))
		return nil, fmt.Errorf("read scheduler configuration: %w", missing)
	}
	path := field.NewPath("profiles").Index(at)
	problems := slices.Concat(
		foreignPlugins(cfg.Profiles[at].Plugins, path.Child("plugins")),
		hardDefaults(cfg.Profiles[at].PluginConfig, path.Child("pluginConfig")),
		filteringExtenders(cfg.Extenders, field.NewPath("extenders")))
	if len(problems) > 0 {
		return nil, fmt.Errorf("read scheduler configuration: %w", field.ErrorList(problems).ToAggregate())
	}
	return cut(&cfg.Profiles[at]), nil
}

// foreignPlugins finds the plugins that are not kube-scheduler's own where they
// may filter. One that only scores does no harm.
func foreignPlugins(p *config.Plugins, path *field.Path) field.ErrorList {
	var problems field.ErrorList
	known := plugins.NewInTreeRegistry()
	for _, point := range []struct {
		name string
		set  config.PluginSet
	}{{"multiPoint", p.MultiPoint}, {"preFilter", p.PreFilter}, {"filter", p.Filter}} {
		for _, plugin := range point.set.Enabled {
			if known[plugin.Name] == nil {
				problems = append(problems, field.Invalid(path.Child(point.name, "enabled").Key(plugin.Name), plugin.Name,
					"is not a plugin of kube-scheduler, so what it filters cannot be simulated"))
			}
		}
	}
	return problems
}

// hardDefaults finds spread constraints that the profile gives to every pod of a
// Service or controller: which those are depends on objects that a snapshot does
// not hold. Soft constraints only score.
func hardDefaults(pluginConfig []config.PluginConfig, path *field.Path) field.ErrorList {
	var problems field.ErrorList
	for i := range pluginConfig {
		args, ok := pluginConfig[i].Args.(*config.PodTopologySpreadArgs)
		if !ok || args.DefaultingType != config.ListDefaulting {
			continue
		}
		list := path.Key(pluginConfig[i].Name).Child("args", "defaultConstraints")
		for j, c := range args.DefaultConstraints {
			if c.WhenUnsatisfiable == corev1.DoNotSchedule {
				problems = append(problems, field.Invalid(list.Index(j).Child("whenUnsatisfiable"), c.WhenUnsatisfiable,
					"default constraints cannot be simulated unless they are ScheduleAnyway"))
			}
		}
	}
	return problems
}

// filteringExtenders finds the webhooks that have a say in where a pod fits.
func filteringExtenders(extenders []config.Extender, path *field.Path) field.ErrorList {
	var problems field.ErrorList
	for i, e := range extenders {
		if e.FilterVerb != "" {
			problems = append(problems, field.Invalid(path.Index(i).Child("filterVerb"), e.FilterVerb,
				"an extender that filters cannot be simulated"))
		}
		for j, r := range e.ManagedResources {
			if r.IgnoredByScheduler {
				problems = append(problems, field.Invalid(path.Index(i).Child("managedResources").Index(j).Child("ignoredByScheduler"), true,
					"a resource that only an extender counts cannot be simulated"))
			}
		}
	}
	return problems
}

// cut keeps what filters.
func cut(in *config.KubeSchedulerProfile) *Profile {
	p := &Profile{
		preFilters: enabledAt(in.Plugins.PreFilter, in.Plugins.MultiPoint),
		filters:    enabledAt(in.Plugins.Filter, in.Plugins.MultiPoint),
	}
	for _, c := range in.PluginConfig {
		if spread, ok := c.Args.(*config.PodTopologySpreadArgs); ok {
			// What is left of the defaults only scores. With them the plugin
			// would ask for Services and controllers.
			spread.DefaultingType, spread.DefaultConstraints = config.ListDefaulting, nil
		}
		if slices.Contains(simulated(), c.Name) {
			p.args = append(p.args, c)
		}
	}
	return p
}

// enabledAt gives the plugins that run at an extension point, in their order as
// the scheduler's framework expands multiPoint: those that the point names again
// come first, those of multiPoint alone next, those of the point alone last.
func enabledAt(point, multi config.PluginSet) []string {
	named := func(set config.PluginSet) []string {
		var out []string
		for _, e := range set.Enabled {
			if slices.Contains(simulated(), e.Name) {
				out = append(out, e.Name)
			}
		}
		return out
	}
	off := func(name string) bool {
		return slices.ContainsFunc(point.Disabled, func(d config.Plugin) bool { return d.Name == name || d.Name == "*" })
	}
	own, all := named(point), named(multi)
	if off("*") {
		return own
	}
	again := slices.DeleteFunc(slices.Clone(own), func(n string) bool { return !slices.Contains(all, n) || off(n) })
	rest := slices.DeleteFunc(all, func(n string) bool { return slices.Contains(own, n) || off(n) })
	own = slices.DeleteFunc(own, func(n string) bool { return slices.Contains(again, n) })
	return slices.Concat(again, rest, own)
}

// profile is the Profile in the scheduler's form, restricted to some of its
// plugins unless only is empty.
func (p *Profile) profile(only []string) *config.KubeSchedulerProfile {
	keep := func(all []string) config.PluginSet {
		var set config.PluginSet
		for _, n := range all {
			if len(only) == 0 || slices.Contains(only, n) {
				set.Enabled = append(set.Enabled, config.Plugin{Name: n})
			}
		}
		return set
	}
	out := &config.KubeSchedulerProfile{
		SchedulerName: corev1.DefaultSchedulerName,
		Plugins: &config.Plugins{
			// A framework must have a queue order and a binder even though
			// neither is used here.
			QueueSort: config.PluginSet{Enabled: []config.Plugin{{Name: names.PrioritySort}}},
			PreFilter: keep(p.preFilters),
			Filter:    keep(p.filters),
			Bind:      config.PluginSet{Enabled: []config.Plugin{{Name: names.DefaultBinder}}},
		},
		PluginConfig: p.args,
	}
	if slices.Contains(p.filters, names.VolumeBinding) {
		// A pod that is put on a node takes its volumes.
		out.Plugins.Reserve = keep([]string{names.VolumeBinding})
	}
	return out
}

// initMetrics makes the metrics that the framework counts in whenever it runs.
// They are not registered anywhere: simulated scheduling is not to be seen in
// the controller's metrics.
var initMetrics = sync.OnceFunc(metrics.InitMetrics)

// Framework builds the scheduler's framework with the filter plugins of the
// profile, or with those of them that are named. It has no client and starts no
// informer: the plugins' listers read what the caller puts into the indexers of
// the factory. The end of ctx ends its metrics recorder, see
// runtime.WaitForShutdown.
func (p *Profile) Framework(ctx context.Context, lister fwk.SharedLister, factory informers.SharedInformerFactory, only ...string) (framework.Framework, error) {
	return p.framework(ctx, lister, factory, only)
}

func (p *Profile) framework(ctx context.Context, lister fwk.SharedLister, factory informers.SharedInformerFactory, only []string, more ...runtime.Option) (framework.Framework, error) {
	initMetrics()
	fw, err := runtime.NewFramework(ctx, plugins.NewInTreeRegistry(), p.profile(only), append(more,
		runtime.WithInformerFactory(factory),
		runtime.WithSnapshotSharedLister(lister),
		runtime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(factory.Storage().V1().CSINodes().Lister())),
		runtime.WithLogger(klog.Logger{}))...)
	if err != nil {
		return nil, fmt.Errorf("build scheduler framework: %w", err)
	}
	return fw, nil
}
