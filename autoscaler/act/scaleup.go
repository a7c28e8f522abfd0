package act

import (
	"context"
	"fmt"
	"time"

	"github.com/joinery/joinery/autoscaler/asg"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// Increased is what became of one increase of a plan.
type Increased struct {
	scaleup.Increase
	asg.Raised
	// At is when AWS had answered.
	At  time.Time
	Err error
}

// ScaleUp raises the groups of a plan, several at once, and tells the pods:
// TriggeredScaleUp to those that a raised group helps, NotTriggerScaleUp to
// those that nothing helps. The results are in the plan's order.
func (e *Executor) ScaleUp(ctx context.Context, d scaleup.Decision) []Increased {
	results := make([]Increased, len(d.Increases))
	inParallel(len(results), func(i int) { results[i] = e.increase(ctx, d.Increases[i]) })
	for _, r := range results {
		e.tellHelped(r)
	}
	e.tellUnhelped(d.Unhelped)
	return results
}

func (e *Executor) increase(ctx context.Context, inc scaleup.Increase) Increased {
	raised, err := e.o.Groups.Raise(ctx, inc.Group, inc.From, inc.To)
	r := Increased{Increase: inc, Raised: raised, At: time.Now(), Err: err}
	log := e.o.Log.With("group", inc.Group, "planFrom", inc.From, "planTo", inc.To, "pods", len(inc.Pods), "reason", inc.Reason)
	switch {
	case err != nil:
		e.o.Metrics.failedUp.WithLabelValues(inc.Group).Inc()
		log.Error("raise group", "err", err)
		e.eventOnController("FailedToScaleUpGroup", err.Error())
	case raised.To == raised.From:
		log.Info("group is large enough already", "desired", raised.From, "max", raised.Max)
	default:
		e.o.Metrics.added.WithLabelValues(inc.Group).Add(float64(raised.To - raised.From))
		log.Info("group raised", "from", raised.From, "to", raised.To, "max", raised.Max)
	}
	return r
}

// Changed says whether AWS was asked for more.
func (r Increased) Changed() bool { return r.Err == nil && r.Raised.To > r.Raised.From }

func (e *Executor) tellHelped(r Increased) {
	if !r.Changed() {
		return
	}
	for _, key := range r.Pods {
		e.eventOnPod(key, "", "TriggeredScaleUp",
			fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", r.Group, r.Raised.From, r.Raised.To, r.Max))
	}
}

func (e *Executor) tellUnhelped(pods []scaleup.PodReason) {
	told := map[string]int{} // reason -> pods that were told now
	for _, p := range pods {
		if e.eventOnPod(p.Pod, p.UID, "NotTriggerScaleUp", "pod didn't trigger scale-up: "+p.Reason) {
			told[p.Reason]++
		}
	}
	for _, p := range pods {
		// One line for each reason, with the first of its pods.
		if n := told[p.Reason]; n > 0 {
			e.o.Log.Info("pods not helped", "pods", n, "pod", p.Pod, "reason", p.Reason)
			delete(told, p.Reason)
		}
	}
}
