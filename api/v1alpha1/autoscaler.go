package v1alpha1

import (
	"fmt"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// AutoscalerSettings say how groups grow and shrink.
type AutoscalerSettings struct {
	// Disabled turns the autoscaler off; tokens and approvals go on.
	Disabled bool `json:"disabled,omitempty"`
	// BatchIdle is how long the loop waits for more pods after the last one
	// turned unschedulable; 250ms by default, at most 1s.
	BatchIdle metav1.Duration `json:"batchIdle,omitzero"`
	// BatchMax bounds that waiting; 2s by default, at most 5s.
	BatchMax metav1.Duration `json:"batchMax,omitzero"`
	// Resync is how often the loop runs without an event; 10s by default.
	Resync metav1.Duration `json:"resync,omitzero"`
	// ScaleDown says when nodes go.
	ScaleDown ScaleDownSettings `json:"scaleDown,omitzero"`
	// ProvisionTimeout is how long an instance may take to become a Ready node
	// before it is replaced; 15m by default, as in Cluster Autoscaler.
	ProvisionTimeout metav1.Duration `json:"provisionTimeout,omitzero"`
	// Prices is the path of a file of instance prices, by which groups are
	// ordered: CSV with the header instanceType,usdPerHour. Built-in list prices
	// of us-east-1 when empty.
	Prices string `json:"prices,omitempty"`
	// SchedulerConfig is the path of the cluster's KubeSchedulerConfiguration, so
	// that plans follow the profile of its default scheduler; kube-scheduler's
	// defaults when empty.
	SchedulerConfig string `json:"schedulerConfig,omitempty"`
	// PackTightly plans as few nodes as the pods can be packed on. By default a
	// plan has as many as kube-scheduler will need, which spreads pods: that ends
	// in fewer nodes and spares most pods a second round. See docs/slack.md.
	PackTightly bool `json:"packTightly,omitempty"`
	// Limits bound the whole cluster; none by default.
	Limits LimitSettings `json:"limits,omitzero"`
	// IgnoreRivalsIn are namespaces in which nothing counts as a trace of another
	// autoscaler, such as those of tenants; none by default. Elsewhere the autoscaler
	// does nothing beside a Cluster Autoscaler.
	IgnoreRivalsIn []string `json:"ignoreRivalsIn,omitempty"`
	// StartupTaints are the beginnings of keys of taints that are on a node until it
	// has started, in addition to those that are known: *.csi.aws.com/agent-not-ready,
	// node.cilium.io/agent-not-ready, readiness.k8s.io/* and others, see
	// docs/running.md. They keep no pod from counting on a young node, nor, in a
	// NodeConfig, from growing its group.
	StartupTaints []string `json:"startupTaints,omitempty"`
	// StatusTaints are the beginnings of keys of taints by which running nodes are
	// taken out of use for a while, in addition to
	// status-taint.cluster-autoscaler.kubernetes.io/. New nodes count without them.
	StatusTaints []string `json:"statusTaints,omitempty"`
	// BalancingIgnoreLabels are keys of labels by which near-identical groups may
	// differ, in addition to those of zone, host name and node group. Near-identical groups
	// grow in turn, see docs/running.md.
	BalancingIgnoreLabels []string `json:"balancingIgnoreLabels,omitempty"`
	// BalancingMemoryRatio is the share by which the memory of near-identical groups
	// may differ: 0 to 1, 0.015 by default, as in Cluster Autoscaler.
	BalancingMemoryRatio *float64 `json:"balancingMemoryRatio,omitempty"`
	// BalancingAllocatableRatio is the same for each allocatable resource; 0.05 by
	// default.
	BalancingAllocatableRatio *float64 `json:"balancingAllocatableRatio,omitempty"`
	// BalancingFreeRatio is the same for what DaemonSets leave; 0.05 by default.
	BalancingFreeRatio *float64 `json:"balancingFreeRatio,omitempty"`
	// MaxTotalUnreadyPercentage is the share of nodes, in percent, up to which nodes
	// that are not Ready have each their own cause: 0 to 100, 45 by default, as in
	// Cluster Autoscaler. Where more of the cluster or of a zone are not Ready, no node
	// is removed; a group with more does not grow.
	MaxTotalUnreadyPercentage *float64 `json:"maxTotalUnreadyPercentage,omitempty"`
	// OKTotalUnreadyCount is how many nodes may be not Ready whatever their share is;
	// 3 by default, as in Cluster Autoscaler.
	OKTotalUnreadyCount *int `json:"okTotalUnreadyCount,omitempty"`
	// Discovery is how groups are found: by their tags, next to those that Groups names,
	// with "tags", the default; with "off" those that Groups names are all.
	Discovery Discovery `json:"discovery,omitempty"`
	// Groups are managed whatever tags they carry, unless a tag says that they are
	// another cluster's. The instances of a named group are the cluster's too.
	Groups []GroupSettings `json:"groups,omitempty"`
}

// LimitSettings bound what the nodes of the cluster come to together, masters
// and nodes on their way counted. What is there already is never taken away for
// them.
type LimitSettings struct {
	// MaxNodes is how many nodes there may be; 0 for any number.
	MaxNodes int `json:"maxNodes,omitempty"`
	// Cores is how many CPU cores they may have; 0 for any number.
	Cores int64 `json:"cores,omitempty"`
	// Memory is how much memory they may have, such as 2Ti; none for any amount.
	Memory string `json:"memory,omitempty"`
}

// MemoryBytes returns Memory in bytes, 0 for any amount.
func (l LimitSettings) MemoryBytes() int64 {
	q, err := ParseQuantity(l.Memory)
	if err != nil {
		return 0
	}
	return q.Value()
}

// ScaleDownSettings say when nodes go.
type ScaleDownSettings struct {
	// Disabled keeps every node.
	Disabled bool `json:"disabled,omitempty"`
	// IdleDelay is how long an empty node's agent must have reported Idle;
	// 30s by default.
	IdleDelay metav1.Duration `json:"idleDelay,omitzero"`
	// UnneededTime is how long any other node must have been unneeded; 10m by
	// default, as in Cluster Autoscaler.
	UnneededTime metav1.Duration `json:"unneededTime,omitzero"`
	// DelayAfterAdd is how long a group that grew keeps nodes that are not
	// idle; 10m by default, counted for each group by itself.
	DelayAfterAdd metav1.Duration `json:"delayAfterAdd,omitzero"`
	// DrainTimeout is how long the evictions of a drain may take before it is
	// rolled back; 5m by default. The time in which pods end does not count.
	DrainTimeout metav1.Duration `json:"drainTimeout,omitzero"`
	// MaxGrace is the longest grace period that a drain waits for: a node with a
	// pod that may take longer to end stays. 10m by default, at most 168h.
	MaxGrace metav1.Duration `json:"maxGrace,omitzero"`
	// DrainPriorities have the pods of a node leave in turns, those of the lowest
	// priority first; none by default: all pods leave at once. MaxGrace does not
	// apply then.
	DrainPriorities []DrainPriority `json:"drainPriorities,omitempty"`
	// DetachTimeout is how long a drained node's instance is kept until the volumes
	// of the pods that left are detached; 2m by default, at most 1h, 0 for not at all.
	DetachTimeout *metav1.Duration `json:"detachTimeout,omitempty"`
	// MaxParallel bounds how many nodes go at once; 10 by default.
	MaxParallel int `json:"maxParallel,omitempty"`
	// MaxDrains bounds how many of these have pods that must move; 1 by default,
	// as in Cluster Autoscaler.
	MaxDrains int `json:"maxDrains,omitempty"`
	// UtilizationThreshold is the share of a node's CPU or memory, whichever is
	// higher, that pods request and from which on the node stays: 0 to 1, 0.5 by
	// default, as in Cluster Autoscaler. 0 lets only nodes without requests go.
	UtilizationThreshold *float64 `json:"utilizationThreshold,omitempty"`
	// DelayAfterDelete is how long a group keeps the nodes that are not idle
	// after one of them went; none by default.
	DelayAfterDelete metav1.Duration `json:"delayAfterDelete,omitzero"`
	// DelayAfterFailure is the same after a removal that failed; 3m by default.
	DelayAfterFailure metav1.Duration `json:"delayAfterFailure,omitzero"`
	// UnreadyTime is how long a node without pods must have been not Ready
	// before it goes; 20m by default.
	UnreadyTime metav1.Duration `json:"unreadyTime,omitzero"`
	// MaxHold is how long a node may hold itself, by an inhibitor lock, a hold file,
	// its agent's word or the annotation scale-down-disabled; 168h by default, 0 for
	// no limit. The label joinery.node-restriction.kubernetes.io/hold on a Node
	// overrides it: "unlimited" or "released".
	MaxHold *metav1.Duration `json:"maxHold,omitempty"`
	// MoveLocalStorage lets pods be moved that lose an emptyDir or use a
	// hostPath.
	MoveLocalStorage bool `json:"moveLocalStorage,omitempty"`
	// MoveSystemPods lets pods of kube-system be moved that no disruption budget
	// covers.
	MoveSystemPods bool `json:"moveSystemPods,omitempty"`
	// MoveCustomControllerPods lets pods be moved whose controller is of a kind
	// that is not built in.
	MoveCustomControllerPods bool `json:"moveCustomControllerPods,omitempty"`
	// MinReplicaCount keeps the pods of a ReplicaSet or ReplicationController that is
	// to have fewer replicas: 0 or more, 0 by default, as in Cluster Autoscaler.
	MinReplicaCount int `json:"minReplicaCount,omitempty"`
}

// DrainPriority is one turn of a drain.
type DrainPriority struct {
	// Priority is the least that a pod of this turn has. Pods below the lowest
	// turn's leave with it.
	Priority int32 `json:"priority"`
	// Grace is the longest grace period that a pod of this turn gets: longer ones
	// are cut.
	Grace metav1.Duration `json:"grace"`
}

func (a *AutoscalerSettings) setDefaults() {
	orDuration(&a.BatchIdle, 250*time.Millisecond)
	orDuration(&a.BatchMax, 2*time.Second)
	orDuration(&a.Resync, 10*time.Second)
	orDuration(&a.ProvisionTimeout, 15*time.Minute)
	orShare(&a.BalancingMemoryRatio, 0.015)
	orShare(&a.BalancingAllocatableRatio, 0.05)
	orShare(&a.BalancingFreeRatio, 0.05)
	orShare(&a.MaxTotalUnreadyPercentage, 45)
	if a.OKTotalUnreadyCount == nil {
		a.OKTotalUnreadyCount = new(3)
	}
	if a.Discovery == "" {
		a.Discovery = DiscoveryTags
	}
	a.ScaleDown.setDefaults()
}

// orShare sets a share or percentage that is left out.
func orShare(f **float64, share float64) {
	if *f == nil {
		*f = &share
	}
}

func (s *ScaleDownSettings) setDefaults() {
	orDuration(&s.IdleDelay, 30*time.Second)
	orDuration(&s.UnneededTime, 10*time.Minute)
	orDuration(&s.DelayAfterAdd, 10*time.Minute)
	orDuration(&s.DelayAfterFailure, 3*time.Minute)
	orDuration(&s.UnreadyTime, 20*time.Minute)
	orDuration(&s.DrainTimeout, 5*time.Minute)
	orDuration(&s.MaxGrace, 10*time.Minute)
	if s.DetachTimeout == nil {
		s.DetachTimeout = &metav1.Duration{Duration: 2 * time.Minute}
	}
	if s.MaxParallel == 0 {
		s.MaxParallel = 10
	}
	if s.MaxDrains == 0 {
		s.MaxDrains = 1
	}
	if s.MaxHold == nil {
		s.MaxHold = &metav1.Duration{Duration: 7 * 24 * time.Hour}
	}
	orShare(&s.UtilizationThreshold, 0.5)
}

func (p *problems) autoscaler(field string, a AutoscalerSettings) {
	p.between(field+".batchIdle", a.BatchIdle, time.Millisecond, time.Second)
	p.between(field+".batchMax", a.BatchMax, a.BatchIdle.Duration, 5*time.Second)
	p.between(field+".resync", a.Resync, time.Second, time.Hour)
	p.scaleDown(field+".scaleDown", a.ScaleDown)
	p.between(field+".provisionTimeout", a.ProvisionTimeout, time.Minute, 24*time.Hour)
	p.file(field+".prices", a.Prices)
	p.file(field+".schedulerConfig", a.SchedulerConfig)
	p.limits(field+".limits", a.Limits)
	p.unready(field, a)
	p.nodesToCome(field, a)
	p.groups(field, a)
	for i, ns := range a.IgnoreRivalsIn {
		if len(validation.IsDNS1123Label(ns)) > 0 {
			p.add(fmt.Sprintf("%s.ignoreRivalsIn[%d]", field, i), ns, "expected the name of a namespace")
		}
	}
}

// unready checks from when on nodes that are not Ready have one cause.
func (p *problems) unready(field string, a AutoscalerSettings) {
	if share := a.MaxTotalUnreadyPercentage; share != nil && !(*share >= 0 && *share <= 100) {
		p.add(field+".maxTotalUnreadyPercentage", fmt.Sprint(*share), "expected a percentage of 0 to 100")
	}
	if n := a.OKTotalUnreadyCount; n != nil && *n < 0 {
		p.add(field+".okTotalUnreadyCount", fmt.Sprint(*n), "expected 0 or more nodes")
	}
}

// file checks the path of a file that may be left out. It is read at the start,
// from whatever directory the service was started in.
func (p *problems) file(field, path string) {
	if path != "" && !filepath.IsAbs(path) {
		p.add(field, path, "expected an absolute path")
	}
}

func (p *problems) limits(field string, l LimitSettings) {
	if l.MaxNodes < 0 {
		p.add(field+".maxNodes", fmt.Sprint(l.MaxNodes), "expected 0 or more nodes")
	}
	if l.Cores < 0 {
		p.add(field+".cores", fmt.Sprint(l.Cores), "expected 0 or more cores")
	}
	if l.Memory == "" {
		return
	}
	q, err := ParseQuantity(l.Memory)
	if err != nil || q.Sign() < 0 {
		p.add(field+".memory", l.Memory, "expected a quantity of 0 or more, such as 2Ti")
	}
}

func (p *problems) scaleDown(field string, s ScaleDownSettings) {
	p.between(field+".idleDelay", s.IdleDelay, time.Second, 24*time.Hour)
	p.between(field+".unneededTime", s.UnneededTime, time.Second, 24*time.Hour)
	p.between(field+".delayAfterAdd", s.DelayAfterAdd, time.Second, 24*time.Hour)
	p.between(field+".drainTimeout", s.DrainTimeout, time.Second, 24*time.Hour)
	if s.MaxParallel < 1 {
		p.add(field+".maxParallel", fmt.Sprint(s.MaxParallel), "expected 1 or more")
	}
	if s.MaxDrains < 1 {
		p.add(field+".maxDrains", fmt.Sprint(s.MaxDrains), "expected 1 or more")
	}
	if s.MinReplicaCount < 0 {
		p.add(field+".minReplicaCount", fmt.Sprint(s.MinReplicaCount), "expected 0 or more replicas")
	}
	p.between(field+".maxGrace", s.MaxGrace, time.Second, 7*24*time.Hour)
	if d := s.DetachTimeout; d != nil {
		p.between(field+".detachTimeout", *d, 0, time.Hour)
	}
	p.drainPriorities(field+".drainPriorities", s.DrainPriorities)
	p.share(field+".utilizationThreshold", s.UtilizationThreshold)
	p.between(field+".delayAfterDelete", s.DelayAfterDelete, 0, 24*time.Hour)
	p.between(field+".delayAfterFailure", s.DelayAfterFailure, time.Second, 24*time.Hour)
	p.between(field+".unreadyTime", s.UnreadyTime, time.Second, 24*time.Hour)
	if h := s.MaxHold; h != nil && h.Duration != 0 {
		p.between(field+".maxHold", *h, time.Minute, 365*24*time.Hour)
	}
}

func (p *problems) drainPriorities(field string, turns []DrainPriority) {
	first := map[int32]int{}
	for i, t := range turns {
		at := fmt.Sprintf("%s[%d]", field, i)
		if j, twice := first[t.Priority]; twice {
			p.add(at+".priority", fmt.Sprint(t.Priority), "expected another priority than that of %s[%d]", field, j)
		} else {
			first[t.Priority] = i
		}
		p.between(at+".grace", t.Grace, 0, 7*24*time.Hour)
	}
}
