package scaledown

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/scaledown/rules"
)

// ScaleDownDisabled is the annotation by which a Node is never removed.
const ScaleDownDisabled = rules.ScaleDownDisabled

// drainer judges nodes and their pods.
type drainer struct{ rules.Context }

func newDrainer(o Options, now time.Time, b *budgets) *drainer {
	return &drainer{rules.Context{
		Now: now,
		Options: rules.Options{
			MoveLocalStorage: o.MoveLocalStorage, MoveSystemPods: o.MoveSystemPods,
			MoveCustomControllerPods: o.MoveCustomControllerPods, ReportTimeout: o.ReportTimeout,
		},
		Covered: b.covers, Unsupported: unsupported,
	}}
}

func unsupported(pod *corev1.Pod) string {
	if r := fit.Unsupported(pod); r != nil {
		return r.String()
	}
	return ""
}

// judge sorts the pods of a node: those to move, those that are evicted without
// needing a place, and what blocks, if something does.
func (d *drainer) judge(pods []*corev1.Pod) (toMove, toDrop []*corev1.Pod, blocked string) {
	for _, pod := range pods {
		o, _, why := d.Judge(pod)
		switch o {
		case rules.Block:
			return nil, nil, fmt.Sprintf("pod %s %s", cluster.Key(pod), why)
		case rules.Drop:
			toDrop = append(toDrop, pod)
		case rules.Move:
			toMove = append(toMove, pod)
		}
	}
	return toMove, toDrop, ""
}

// counts reports whether the pod counts as running.
func (d *drainer) counts(pod *corev1.Pod) bool {
	o, _, _ := d.Judge(pod)
	return o != rules.Ignore && o != rules.Evict
}
