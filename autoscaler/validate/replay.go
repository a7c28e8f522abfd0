package validate

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// replay lets the scheduler place the pods in their order, each on the node that
// the plan has for it, and gives a Problem for each that it refuses. A refused
// pod is tried again as long as others find their place, as the scheduler does:
// it may depend on a pod that comes later.
func replay(in cluster.Input, w *world, profile *fit.Profile, steps []step) ([]Problem, error) {
	factory, err := objects(in, w)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fw, err := profile.Framework(ctx, w, factory)
	if err != nil {
		return nil, err
	}
	defer func() {
		cancel()
		runtime.WaitForShutdown(fw)
	}()
	for {
		var again []step
		var problems []Problem
		for _, s := range steps {
			if problem := place(ctx, fw, s); problem != nil {
				again, problems = append(again, s), append(problems, *problem)
			}
		}
		if len(again) == 0 || len(again) == len(steps) {
			return problems, nil
		}
		steps = again
	}
}

// place puts the pod on its node if the scheduler would, and says why it would
// not.
func place(ctx context.Context, fw framework.Framework, s step) *Problem {
	if s.pod.Status.NominatedNodeName == s.node.name() {
		evict(s)
	}
	if problem := ask(ctx, fw, s); problem != nil {
		problem.Pod, problem.Node = cluster.Key(s.pod), s.node.name()
		return problem
	}
	s.node.info.AddPod(bound(s.pod, s.node.name()))
	return nil
}

// evict takes the pods away that the scheduler is preempting for this one. Whether
// it fits then is asked all the same: a nomination may be out of date.
func evict(s step) {
	var victims []*corev1.Pod
	for _, pi := range s.node.info.GetPods() {
		pod := pi.GetPod()
		if pod.DeletionTimestamp != nil && corev1helpers.PodPriority(pod) < corev1helpers.PodPriority(s.pod) {
			victims = append(victims, pod)
		}
	}
	for _, v := range victims {
		// It is there: it was just listed.
		_ = s.node.info.RemovePod(klog.Logger{}, v)
	}
}

// ask runs the scheduler's plugins for the pod and the node. A pod that they let
// pass has taken its volumes.
func ask(ctx context.Context, fw framework.Framework, s step) *Problem {
	state := framework.NewCycleState()
	nodes, status, narrowedBy := fw.RunPreFilterPlugins(ctx, state, s.pod)
	if !status.IsSuccess() {
		return refusal(status, narrowedBy)
	}
	if !nodes.AllNodes() && !nodes.NodeNames.Has(s.node.name()) {
		return &Problem{Plugin: strings.Join(sets.List(narrowedBy), ", "), Message: "the pod may be on other nodes only"}
	}
	if status := fw.RunFilterPlugins(ctx, state, s.pod, s.node.info); !status.IsSuccess() {
		return refusal(status, nil)
	}
	if status := fw.RunReservePluginsReserve(ctx, state, s.pod, s.node.name()); !status.IsSuccess() {
		return refusal(status, nil)
	}
	return nil
}

// refusal is the Problem that a plugin's answer tells of. When several plugins
// leave no node between them, the answer carries none of their names.
func refusal(status *fwk.Status, plugins sets.Set[string]) *Problem {
	name := status.Plugin()
	if name == "" {
		name = strings.Join(sets.List(plugins), ", ")
	}
	return &Problem{Plugin: name, Message: status.Message()}
}
