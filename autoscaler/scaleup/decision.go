package scaleup

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// Options steer a plan. The zero value is ready to use.
type Options struct {
	// MaxNodesPerPlan bounds the nodes that one plan adds. 0 is 1000, the value
	// of Cluster Autoscaler's --max-nodes-per-scaleup.
	MaxNodesPerPlan int
	// MaxNodesTotal bounds the nodes of the cluster, upcoming ones counted. 0 is
	// no bound.
	MaxNodesTotal int
	// MaxCores and MaxMemory (bytes) bound what the nodes of the cluster have to
	// offer together, upcoming ones counted. 0 is no bound.
	MaxCores, MaxMemory int64
	// AsScheduled sizes a plan for how kube-scheduler will place the pods: it
	// spreads them and fills nodes less tightly than they can be packed, so a plan
	// that is packed leaves pods pending for another round. False packs; what
	// either costs is in docs/slack.md.
	AsScheduled bool
	// Balance says which groups grow in turn.
	Balance Balance
	// Profile is the cluster's scheduler profile. Nil is the default one.
	Profile *fit.Profile
	// Held says why no node may be opened for a pod; nil holds none. A held pod is
	// placed on nodes that are there or on their way, before others like it.
	Held func(cluster.Pod) Hold
	// Brakes say which groups' new nodes are not for a class; nil for none.
	Brakes fit.Brakes
}

// Hold is why no node is opened for a pod; the zero value holds nothing.
type Hold struct {
	Reason string
	// Coming says that a node is on its way for the pod: it only has to wait.
	Coming bool
}

func (o Options) maxNodesPerPlan() int {
	if o.MaxNodesPerPlan == 0 {
		return 1000
	}
	return o.MaxNodesPerPlan
}

// Decision is what to do, with a reason for each pod. The same snapshot, options
// and time give the same decision, byte for byte.
type Decision struct {
	// Increases are the groups to grow, by name.
	Increases []Increase `json:"increases,omitempty"`
	// Unhelped are the pods that no group can take, by namespace and name.
	Unhelped []PodReason `json:"unhelped,omitempty"`
	// Waiting are the pods that need no growth, by namespace and name: they fit
	// on a node that is there or on its way.
	Waiting []PodReason `json:"waiting,omitempty"`
	// NewNodes are the nodes that the increases stand for, and Placements where
	// the plan sees each pod that it helps or lets wait, in an order in which the
	// scheduler could place them one after the other.
	NewNodes   []cluster.NewNode   `json:"-"`
	Placements []cluster.Placement `json:"-"`
	// Leaving are the nodes that are being removed. The plan counts them as gone.
	Leaving []string `json:"-"`
	// Err is set when nothing could be planned at all.
	Err error `json:"-"`
}

// Increase is one group to grow.
type Increase struct {
	Group string `json:"group"`
	// From is the desired capacity that the plan was made for, To the one to
	// set. To never exceeds the group's maximum.
	From int `json:"from"`
	To   int `json:"to"`
	// Pods are the pods that the new nodes are for, by namespace and name.
	Pods []types.NamespacedName `json:"pods"`
	// Zones are the zones that the new nodes are expected in, in order. The Auto
	// Scaling Group decides; with one zone it is sure.
	Zones []string `json:"zones,omitempty"`
	// Warm is how many of the new nodes the group's warm pool can give.
	Warm   int    `json:"warm,omitempty"`
	Reason string `json:"reason"`
}

// PodReason says how a pod stands.
type PodReason struct {
	Pod types.NamespacedName `json:"pod"`
	UID types.UID            `json:"uid,omitempty"`
	// Reason is one sentence for people, fit for an event.
	Reason string `json:"reason"`
	// Groups tell for each group, by name, why it does not help. Empty when the
	// cause lies in the pod alone.
	Groups []GroupReason `json:"groups,omitempty"`
}

// GroupReason is why one group does not help a pod.
type GroupReason struct {
	Group  string `json:"group"`
	Reason string `json:"reason"`
}

// summary puts the reasons of all groups into one sentence.
func summary(groups []GroupReason) string {
	if len(groups) == 0 {
		return "there is no group to grow"
	}
	parts := make([]string, len(groups))
	for i, g := range groups {
		parts[i] = g.Group + ": " + g.Reason
	}
	return fmt.Sprintf("0/%d groups can help: %s", len(groups), strings.Join(parts, "; "))
}
