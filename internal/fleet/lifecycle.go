package fleet

import "strings"

// Lifecycle is Auto Scaling's word for where an instance of a group is, such as
// Pending:Wait, InService or Warmed:Stopped; empty for one that no group has.
// The words are those of the EC2 Auto Scaling User Guide, "Instance lifecycle" and
// "Warm pools: instance lifecycle". A word that is not known here fits none of the
// predicates.
type Lifecycle string

// InService is the state of an instance that takes part in its group.
const InService Lifecycle = "InService"

// Pending reports whether the instance is on its way into service, be it from its
// launch or from the warm pool.
func (l Lifecycle) Pending() bool { return l.oneOf("Pending") }

// InService reports whether the instance takes part in its group.
func (l Lifecycle) InService() bool { return l == InService }

// Leaving reports whether the group is getting rid of the instance, by ending or
// by detaching it: it carries no pods any more and is not counted in the desired
// capacity. An instance that the group ends out of its warm pool is not meant.
func (l Lifecycle) Leaving() bool {
	return l.oneOf("Terminating", "Terminated", "Detaching", "Detached")
}

// Pooled reports whether the instance is in the group's warm pool, or on its way
// into it or out of it by its end.
func (l Lifecycle) Pooled() bool { return l.oneOf("Warmed") }

// Standby reports whether an operator took the instance out of service, or is about
// to.
func (l Lifecycle) Standby() bool { return l.oneOf("Standby", "EnteringStandby") }

// OutOfService reports whether the instance takes no part in the desired capacity
// though it does not leave: it is not coming.
func (l Lifecycle) OutOfService() bool { return l.Pooled() || l.Standby() }

// oneOf reports whether one of words is the state's first: Pending is that of
// Pending, Pending:Wait and Pending:Proceed.
func (l Lifecycle) oneOf(words ...string) bool {
	first, _, _ := strings.Cut(string(l), ":")
	for _, w := range words {
		if first == w {
			return true
		}
	}
	return false
}
