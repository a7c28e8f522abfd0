package karpenter

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	fakecr "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/log"
	v1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	"sigs.k8s.io/karpenter/pkg/operator/injection"
	"sigs.k8s.io/karpenter/pkg/operator/logging"
	"sigs.k8s.io/karpenter/pkg/operator/options"

	"github.com/joinery/joinery/autoscaler/cluster"
)

// World is a workload as Karpenter's provisioner finds it. It serves one Solve.
type World struct {
	ctx     context.Context
	client  client.Client
	cluster *state.Cluster
	clock   clock.Clock
	pools   []*v1.NodePool
	types   map[string][]*cloudprovider.InstanceType
	zones   map[string]string
	pending []*corev1.Pod
}

// Prepare sets up what Karpenter keeps between two rounds. The objects of the
// workload must not be used for anything else.
func Prepare(in cluster.Input) (*World, error) {
	log.SetLogger(logging.NopLogger)
	ctx := injection.WithControllerName(context.Background(), "provisioner")
	w := &World{
		ctx:    options.ToContext(ctx, defaults()),
		client: fakecr.NewClientBuilder().WithIndex(&corev1.Pod{}, "spec.nodeName", byNode).Build(),
		clock:  clock.RealClock{},
		types:  make(map[string][]*cloudprovider.InstanceType, len(in.Groups)),
		zones:  make(map[string]string, len(in.Groups)),
	}
	w.cluster = state.NewCluster(w.clock, w.client, nil)
	for _, g := range in.Groups {
		w.pools = append(w.pools, nodePool(g))
		w.types[g.Name] = []*cloudprovider.InstanceType{instanceType(g)}
		w.zones[g.Name] = g.Zones[0]
	}
	return w, w.observe(in)
}

// defaults are Karpenter's own, as far as the scheduler reads them.
func defaults() *options.Options {
	return &options.Options{
		PreferencePolicy:  options.PreferencePolicyRespect,
		MinValuesPolicy:   options.MinValuesPolicyStrict,
		IgnoreDRARequests: true,
		FeatureGates:      options.FeatureGates{ReservedCapacity: true},
	}
}

func byNode(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }

// observe feeds the cluster state as Karpenter's informers do.
func (w *World) observe(in cluster.Input) error {
	for _, node := range in.Nodes {
		if err := w.cluster.UpdateNode(w.ctx, node); err != nil {
			return fmt.Errorf("observe node %s: %w", node.Name, err)
		}
	}
	for _, pod := range in.Pods {
		if pod.Spec.NodeName == "" {
			w.pending = append(w.pending, pod)
			continue
		}
		if err := w.cluster.UpdatePod(w.ctx, pod); err != nil {
			return fmt.Errorf("observe pod %s: %w", pod.Name, err)
		}
	}
	w.pending = slices.Clip(w.pending)
	return nil
}
