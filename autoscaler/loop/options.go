package loop

import (
	"math"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
)

// planOptions words the settings for the planners.
func (l *Loop) planOptions() (scaleup.Options, scaledown.Options) {
	limits, s := l.spec.Limits, l.spec.ScaleDown
	up := scaleup.Options{
		MaxNodesTotal: limits.MaxNodes, MaxCores: limits.Cores, MaxMemory: limits.MemoryBytes(),
		AsScheduled: !l.spec.PackTightly, Profile: l.o.Profile,
		Balance: scaleup.Balance{
			IgnoreLabels: l.spec.BalancingIgnoreLabels,
			Memory:       l.spec.BalancingMemoryRatio, Allocatable: l.spec.BalancingAllocatableRatio, Free: l.spec.BalancingFreeRatio,
		},
	}
	down := scaledown.Options{
		IdleDelay: s.IdleDelay.Duration, UnneededTime: s.UnneededTime.Duration, UnreadyTime: s.UnreadyTime.Duration,
		DelayAfterAdd: s.DelayAfterAdd.Duration, DelayAfterDelete: s.DelayAfterDelete.Duration, DelayAfterFailure: s.DelayAfterFailure.Duration,
		MaxParallel: s.MaxParallel, MaxHold: maxHold(s),
		MoveLocalStorage: s.MoveLocalStorage, MoveSystemPods: s.MoveSystemPods, MoveCustomControllerPods: s.MoveCustomControllerPods,
		Profile: l.o.Profile,
	}
	if u := s.UtilizationThreshold; u != nil {
		// To the planner 0 is the default; what is meant is "nothing at all".
		down.UtilizationThreshold = max(*u, math.SmallestNonzeroFloat64)
	}
	return up, down
}

// maxHold words spec.autoscaler.scaleDown.maxHold for the planner, to which 0 is the
// default and a negative time none.
func maxHold(s v1alpha1.ScaleDownSettings) time.Duration {
	switch m := s.MaxHold; {
	case m == nil:
		return 0
	case m.Duration == 0:
		return -1
	default:
		return m.Duration
	}
}
