package loop

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/autoscaler/cluster"
	"github.com/joinery/joinery/autoscaler/scaledown"
	"github.com/joinery/joinery/autoscaler/scaleup"
	"github.com/joinery/joinery/internal/drain"
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
		MaxParallel: s.MaxParallel, MaxDrains: s.MaxDrains, MaxHold: maxHold(s),
		MaxGrace: maxGrace(s), DrainTimeout: s.DrainTimeout.Duration,
		MoveLocalStorage: s.MoveLocalStorage, MoveSystemPods: s.MoveSystemPods, MoveCustomControllerPods: s.MoveCustomControllerPods,
		MinReplicaCount: s.MinReplicaCount,
		Profile:         l.o.Profile,
	}
	if u := s.UtilizationThreshold; u != nil {
		// To the planner 0 is the default; what is meant is "nothing at all".
		down.UtilizationThreshold = max(*u, math.SmallestNonzeroFloat64)
	}
	return up, down
}

// unready words how many broken nodes a few accidents explain; nil is the default.
func unready(s v1alpha1.AutoscalerSettings) *cluster.UnreadyLimits {
	if s.OKTotalUnreadyCount == nil || s.MaxTotalUnreadyPercentage == nil {
		return nil
	}
	return &cluster.UnreadyLimits{Count: *s.OKTotalUnreadyCount, Percent: *s.MaxTotalUnreadyPercentage}
}

// maxGrace words spec.autoscaler.scaleDown.maxGrace for the planner, to which a negative
// time is none: turns cut the grace periods that are longer than theirs.
func maxGrace(s v1alpha1.ScaleDownSettings) time.Duration {
	if len(s.DrainPriorities) > 0 {
		return -1
	}
	return s.MaxGrace.Duration
}

// detachTimeout words spec.autoscaler.scaleDown.detachTimeout for the executor, to which 0
// is the default and a negative time none.
func detachTimeout(s v1alpha1.ScaleDownSettings) time.Duration {
	switch d := s.DetachTimeout; {
	case d == nil:
		return 0
	case d.Duration == 0:
		return -1
	default:
		return d.Duration
	}
}

// turns words spec.autoscaler.scaleDown.drainPriorities for the executor.
func turns(s v1alpha1.ScaleDownSettings) drain.Turns {
	var out drain.Turns
	for _, d := range s.DrainPriorities {
		out = append(out, drain.Turn{Priority: d.Priority, Grace: d.Grace.Duration})
	}
	slices.SortFunc(out, func(a, b drain.Turn) int { return cmp.Compare(a.Priority, b.Priority) })
	return out
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
