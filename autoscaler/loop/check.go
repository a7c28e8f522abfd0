package loop

import (
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
)

const (
	// checkFirst plans after the start are all checked, then one in checkEvery.
	checkFirst, checkEvery = 20, 20
	// checkedPods bounds the pods of a plan that are looked at: asking the
	// scheduler's plugins costs some tenths of a millisecond for each.
	checkedPods = 200
)

// check has the independent validator look at some of the plans that do something,
// in the background and one at a time. What it finds is a fault of the planner: it
// is counted and logged, and the executors' own looks at the fresh state stand in
// between.
func (l *Loop) check(s *cluster.Snapshot, kind string, p validate.Plan) {
	if len(p.NewNodes)+len(p.Removed) == 0 {
		return
	}
	l.plans++
	if l.plans > checkFirst && l.plans%checkEvery != 0 || !l.checking.CompareAndSwap(false, true) {
		return
	}
	l.chores.Go(func() {
		defer l.checking.Store(false)
		problems, err := l.validate(s, p)
		if err != nil {
			l.metrics.errors.Inc()
			l.o.Log.Error("check plan", "plan", kind, "err", err)
			return
		}
		l.metrics.checked.WithLabelValues(kind).Inc()
		l.metrics.problems.WithLabelValues(kind).Add(float64(len(problems)))
		for _, problem := range problems[:min(len(problems), shown)] {
			l.o.Log.Error("a plan does not hold under the scheduler's rules", "plan", kind, "problem", problem.String())
		}
	})
}

func (l *Loop) validate(s *cluster.Snapshot, p validate.Plan) ([]validate.Problem, error) {
	profile := l.o.Profile
	if profile == nil {
		var err error
		if profile, err = fit.DefaultProfile(); err != nil {
			return nil, err
		}
	}
	return validate.Check(s.Input(), p, profile, validate.Options{MaxPlacements: checkedPods})
}
