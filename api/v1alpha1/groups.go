package v1alpha1

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Discovery is how Auto Scaling groups are found.
type Discovery string

const (
	// DiscoveryTags finds the groups that carry the cluster's discovery tags, beside
	// those that are named.
	DiscoveryTags Discovery = "tags"
	// DiscoveryOff manages only the groups that are named.
	DiscoveryOff Discovery = "off"
)

// UnmarshalJSON takes false for off, as YAML 1.1 reads that word.
func (d *Discovery) UnmarshalJSON(data []byte) error {
	if string(data) == "false" {
		*d = DiscoveryOff
		return nil
	}
	return json.Unmarshal(data, (*string)(d))
}

// The tags by which an operator sets how a group is chosen and shrunk. What follows
// NodeTemplateTag is Cluster Autoscaler's (its AWS README, "Node templates").
const (
	// PriceTag holds what one instance costs in US dollars an hour, for groups
	// whose instances are not paid at the list price, such as spot ones.
	PriceTag = "joinery:price"
	// PriorityTag holds an integer. Groups of a higher one are grown first.
	PriorityTag = "joinery:priority"
	// HeadroomTag holds how many nodes are to stay without pods.
	HeadroomTag = "joinery:headroom"
	// TagPrefix starts the tags that Cluster Autoscaler's users put on groups.
	TagPrefix = "k8s.io/cluster-autoscaler/"
	// NodeTemplateTag starts the tags that describe a group's nodes.
	NodeTemplateTag = TagPrefix + "node-template/"
	// GroupOptionTag starts those of them that set one group's options.
	GroupOptionTag = NodeTemplateTag + "autoscaling-options/"
)

// Bounds of what a group's settings and tags may hold.
const (
	// MaxPrice is beyond what any instance costs, in US dollars an hour.
	MaxPrice = 10_000
	// MaxPriority bounds priorities on both sides of 0.
	MaxPriority = 1_000_000
	// MaxHeadroom is the most nodes that may be kept as room.
	MaxHeadroom = 1000
)

// The options of a group, after GroupOptionTag.
const (
	OptionUtilization      = "scaledownutilizationthreshold"
	OptionGPUUtilization   = "scaledowngpuutilizationthreshold"
	OptionUnneededTime     = "scaledownunneededtime"
	OptionUnreadyTime      = "scaledownunreadytime"
	OptionIgnoreDaemonSets = "ignoredaemonsetsutilization"
)

// GroupSettings name an Auto Scaling group and set what its tags could set. A setting
// goes before the group's tag of the same meaning; what is left out is left to the tag.
type GroupSettings struct {
	// Name of the Auto Scaling group.
	Name string `json:"name"`
	// Min and Max narrow the group's own bounds; they never widen them.
	Min *int `json:"min,omitempty"`
	// Max is the most instances; the group's own maximum when left out.
	Max *int `json:"max,omitempty"`
	// Priority orders groups before their prices do: higher ones are grown first
	// (tag joinery:priority).
	Priority *int `json:"priority,omitempty"`
	// Price of one instance in US dollars an hour (tag joinery:price).
	Price *float64 `json:"price,omitempty"`
	// Headroom is how many nodes are to stay without pods (tag joinery:headroom).
	Headroom *int `json:"headroom,omitempty"`
	// Labels, Taints and Resources of the group's nodes beyond what its launch template
	// says (tags k8s.io/cluster-autoscaler/node-template/…).
	Labels map[string]string `json:"labels,omitempty"`
	// Taints of the group's nodes.
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Resources of the group's nodes, such as those of device plugins.
	Resources map[string]string `json:"resources,omitempty"`
	// ScaleDown sets when this group's nodes go.
	ScaleDown GroupScaleDownSettings `json:"scaleDown,omitzero"`
}

// GroupScaleDownSettings say when one group's nodes go. What is left out is as for all
// groups.
type GroupScaleDownSettings struct {
	// UtilizationThreshold is that of ScaleDownSettings: 0 to 1.
	UtilizationThreshold *float64 `json:"utilizationThreshold,omitempty"`
	// GPUUtilizationThreshold is the same of GPUs, for nodes that have some.
	GPUUtilizationThreshold *float64 `json:"gpuUtilizationThreshold,omitempty"`
	// UnneededTime is that of ScaleDownSettings.
	UnneededTime *metav1.Duration `json:"unneededTime,omitempty"`
	// UnreadyTime is that of ScaleDownSettings.
	UnreadyTime *metav1.Duration `json:"unreadyTime,omitempty"`
	// IgnoreDaemonSetsUtilization leaves the pods of DaemonSets out of a node's
	// utilization.
	IgnoreDaemonSetsUtilization *bool `json:"ignoreDaemonSetsUtilization,omitempty"`
}

// Tags returns what the settings say as the tags that would say it.
func (g GroupSettings) Tags() map[string]string {
	out := map[string]string{}
	if g.Priority != nil {
		out[PriorityTag] = strconv.Itoa(*g.Priority)
	}
	if g.Price != nil {
		out[PriceTag] = number(*g.Price)
	}
	if g.Headroom != nil {
		out[HeadroomTag] = strconv.Itoa(*g.Headroom)
	}
	for key, value := range g.Labels {
		out[NodeTemplateTag+"label/"+key] = value
	}
	for _, t := range g.Taints {
		out[NodeTemplateTag+"taint/"+t.Key] = t.Value + ":" + string(t.Effect)
	}
	for name, quantity := range g.Resources {
		out[NodeTemplateTag+"resources/"+name] = quantity
	}
	g.ScaleDown.addTags(out)
	return out
}

func (s GroupScaleDownSettings) addTags(out map[string]string) {
	if s.UtilizationThreshold != nil {
		out[GroupOptionTag+OptionUtilization] = number(*s.UtilizationThreshold)
	}
	if s.GPUUtilizationThreshold != nil {
		out[GroupOptionTag+OptionGPUUtilization] = number(*s.GPUUtilizationThreshold)
	}
	if s.UnneededTime != nil {
		out[GroupOptionTag+OptionUnneededTime] = s.UnneededTime.Duration.String()
	}
	if s.UnreadyTime != nil {
		out[GroupOptionTag+OptionUnreadyTime] = s.UnreadyTime.Duration.String()
	}
	if s.IgnoreDaemonSetsUtilization != nil {
		out[GroupOptionTag+OptionIgnoreDaemonSets] = strconv.FormatBool(*s.IgnoreDaemonSetsUtilization)
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// MaxGroupName is the most characters of a group's name. They are those of ASCII from 33
// to 126, but for the colon (EC2 Auto Scaling API Reference, CreateAutoScalingGroup).
const MaxGroupName = 255

func (p *problems) groups(field string, a AutoscalerSettings) {
	switch a.Discovery {
	case DiscoveryTags:
	case DiscoveryOff:
		if len(a.Groups) == 0 {
			p.add(field+".discovery", string(a.Discovery), "expected tags, or groups in %s.groups: there is nothing to manage", field)
		}
	default:
		p.add(field+".discovery", string(a.Discovery), "expected tags or off")
	}
	seen := map[string]bool{}
	for i, g := range a.Groups {
		at := fmt.Sprintf("%s.groups[%d]", field, i)
		if g.Name == "" || len(g.Name) > MaxGroupName || strings.ContainsFunc(g.Name, func(c rune) bool { return c < '!' || c > '~' || c == ':' }) {
			p.add(at+".name", g.Name, "expected the name of an Auto Scaling group: 1 to %d characters of ASCII, without blanks and colons", MaxGroupName)
		}
		if seen[g.Name] {
			p.add(at+".name", g.Name, "expected each group once")
		}
		seen[g.Name] = true
		p.group(at, g)
	}
}

func (p *problems) group(at string, g GroupSettings) {
	if g.Min != nil && *g.Min < 0 {
		p.add(at+".min", strconv.Itoa(*g.Min), "expected 0 or more instances")
	}
	if g.Max != nil && (*g.Max < 0 || g.Min != nil && *g.Max < *g.Min) {
		p.add(at+".max", strconv.Itoa(*g.Max), "expected 0 or more instances, and no fewer than min")
	}
	if n := g.Priority; n != nil && (*n < -MaxPriority || *n > MaxPriority) {
		p.add(at+".priority", strconv.Itoa(*n), "expected %d to %d", -MaxPriority, MaxPriority)
	}
	if f := g.Price; f != nil && !(*f > 0 && *f <= MaxPrice) {
		p.add(at+".price", number(*f), "expected US dollars an hour, above 0 and at most %d", MaxPrice)
	}
	if n := g.Headroom; n != nil && (*n < 0 || *n > MaxHeadroom) {
		p.add(at+".headroom", strconv.Itoa(*n), "expected 0 to %d", MaxHeadroom)
	}
	for _, key := range slices.Sorted(maps.Keys(g.Labels)) {
		p.groupLabel(at+".labels["+key+"]", key, g.Labels[key])
	}
	p.taints(at+".taints", g.Taints)
	p.oneTaintPerKey(at+".taints", g.Taints)
	for _, name := range slices.Sorted(maps.Keys(g.Resources)) {
		if q, err := ParseQuantity(g.Resources[name]); err != nil || q.Sign() < 0 {
			p.add(at+".resources["+name+"]", g.Resources[name], "expected a quantity of 0 or more, such as 2")
		}
	}
	p.groupScaleDown(at+".scaleDown", g.ScaleDown)
}

func (p *problems) groupScaleDown(at string, s GroupScaleDownSettings) {
	for name, f := range map[string]*float64{"utilizationThreshold": s.UtilizationThreshold, "gpuUtilizationThreshold": s.GPUUtilizationThreshold} {
		if f != nil && !(*f >= 0 && *f <= 1) {
			p.add(at+"."+name, number(*f), "expected a share of 0 to 1")
		}
	}
	for name, d := range map[string]*metav1.Duration{"unneededTime": s.UnneededTime, "unreadyTime": s.UnreadyTime} {
		if d != nil {
			p.between(at+"."+name, *d, 0, 24*time.Hour)
		}
	}
}

// groupLabel checks what the group's label tags are held to: they may set labels that a
// kubelet may not, and none that makes a control-plane node or is the controller's own.
func (p *problems) groupLabel(path, key, value string) {
	for _, e := range validation.IsQualifiedName(key) {
		p.add(path, key, "expected a label key: %s", e)
	}
	for _, e := range validation.IsValidLabelValue(value) {
		p.add(path, value, "expected a label value: %s", e)
	}
	if controlPlaneLabels[key] || OwnLabel(key) {
		p.add(path, key, "may not be set: it is none of a worker's")
	}
}

// oneTaintPerKey is the rule of the tags that taints become.
func (p *problems) oneTaintPerKey(field string, taints []corev1.Taint) {
	first := map[string]corev1.TaintEffect{}
	for i, t := range taints {
		if effect, again := first[t.Key]; again && effect != t.Effect {
			p.add(fmt.Sprintf("%s[%d].key", field, i), t.Key, "expected one taint for each key, as in the group's tags")
			continue
		}
		first[t.Key] = t.Effect
	}
}
