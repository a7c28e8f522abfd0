package scaledown

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
)

// The annotations of Cluster Autoscaler that a pod or node may carry.
const (
	safeToEvict      = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	safeLocalVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	daemonPod        = "cluster-autoscaler.kubernetes.io/daemonset-pod"
	// ScaleDownDisabled is the annotation by which a Node is never removed.
	ScaleDownDisabled  = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	longTerminatingGap = 30 * time.Second
)

// verdict is what a drain rule says about one pod.
type verdict int

const (
	// undecided: the rule has nothing to say, the next one is asked.
	undecided verdict = iota
	// ignore: the pod needs no other place and does not count as running.
	ignore
	// drop: the pod is evicted and needs no other place.
	drop
	// move: the pod may be evicted if it finds another place.
	move
	// block: the pod keeps its node.
	block
)

// drainRule judges one pod. The text is for block only.
type drainRule func(d *drainer, pod *corev1.Pod) (verdict, string)

// drainRules are asked in this order; the first that decides counts. The order
// and the meaning are Cluster Autoscaler's (its drainability rules), with three
// added: ending pods are waited for, expendable pods do not count, and pods that
// cannot be simulated keep their node.
func drainRules() []drainRule {
	return []drainRule{
		mirrorRule, terminalRule, endingRule, daemonRule, expendableRule, unsupportedRule,
		safeToEvictRule, controllerRule, systemRule, localStorageRule,
	}
}

// drainer judges the pods of nodes.
type drainer struct {
	o       Options
	now     time.Time
	budgets *budgets
}

// judge sorts the pods of a node: those to move, those that are evicted without
// needing a place, and what blocks, if something does.
func (d *drainer) judge(pods []*corev1.Pod) (toMove, toDrop []*corev1.Pod, blocked string) {
	for _, pod := range pods {
		v, text := d.verdict(pod)
		switch {
		case v == block:
			return nil, nil, fmt.Sprintf("pod %s %s", cluster.Key(pod), text)
		case v == drop:
			toDrop = append(toDrop, pod)
		case v == move:
			toMove = append(toMove, pod)
		}
	}
	return toMove, toDrop, ""
}

func (d *drainer) verdict(pod *corev1.Pod) (verdict, string) {
	for _, rule := range drainRules() {
		if v, text := rule(d, pod); v != undecided {
			return v, text
		}
	}
	return move, ""
}

// mirrorRule: static pods live and die with their kubelet.
func mirrorRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	if _, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; ok {
		return ignore, ""
	}
	return undecided, ""
}

func terminalRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	if cluster.Terminal(pod) {
		return ignore, ""
	}
	return undecided, ""
}

// endingRule: a pod that is being deleted needs no other place, but its node
// stays until it has ended, within its grace period and 30 s.
func endingRule(d *drainer, pod *corev1.Pod) (verdict, string) {
	if pod.DeletionTimestamp == nil {
		return undecided, ""
	}
	// The deletion timestamp already holds the grace period.
	if d.now.After(pod.DeletionTimestamp.Add(longTerminatingGap)) {
		return ignore, ""
	}
	if cluster.OwnedByDaemonSet(pod) {
		return ignore, ""
	}
	return block, "is still ending"
}

func daemonRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	if cluster.OwnedByDaemonSet(pod) || pod.Annotations[daemonPod] == "true" {
		return ignore, ""
	}
	return undecided, ""
}

// expendableRule: such a pod does not keep a node, see cluster.ExpendablePriority.
func expendableRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	if cluster.Expendable(pod) {
		return drop, ""
	}
	return undecided, ""
}

func unsupportedRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	if r := fit.Unsupported(pod); r != nil {
		return block, "cannot be simulated: " + r.String()
	}
	return undecided, ""
}

// safeToEvictRule: "true" lifts the rules after this one, "false" keeps the pod,
// "on-completion" keeps it until it has ended by itself.
func safeToEvictRule(_ *drainer, pod *corev1.Pod) (verdict, string) {
	switch pod.Annotations[safeToEvict] {
	case "true":
		return move, ""
	case "false":
		return block, "is annotated " + safeToEvict + "=false"
	case "on-completion":
		return block, "is annotated " + safeToEvict + "=on-completion and has not completed"
	}
	return undecided, ""
}

// controllerRule: nobody makes a bare pod anew. Pods of controllers that are not
// built in count as bare unless the options say otherwise.
func controllerRule(d *drainer, pod *corev1.Pod) (verdict, string) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return block, "has no controller that would make it anew"
	}
	builtIn := []string{"ReplicationController", "ReplicaSet", "StatefulSet", "Job"}
	if !d.o.MoveCustomControllerPods && !slices.Contains(builtIn, ref.Kind) {
		return block, "has a controller of kind " + ref.Kind + ", which is not built in"
	}
	return undecided, ""
}

func systemRule(d *drainer, pod *corev1.Pod) (verdict, string) {
	if pod.Namespace == metav1.NamespaceSystem && !d.o.MoveSystemPods && !d.budgets.covers(pod) {
		return block, "is a system pod without a disruption budget"
	}
	return undecided, ""
}

// localStorageRule: what a pod keeps in an emptyDir on disk or in a hostPath
// stays behind.
func localStorageRule(d *drainer, pod *corev1.Pod) (verdict, string) {
	if d.o.MoveLocalStorage {
		return undecided, ""
	}
	safe := strings.Split(pod.Annotations[safeLocalVolumes], ",")
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		local := v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
		if local && !slices.ContainsFunc(safe, func(s string) bool { return strings.TrimSpace(s) == v.Name }) {
			return block, "keeps local storage in volume " + v.Name
		}
	}
	return undecided, ""
}
