package awssim

import (
	"context"
	"strings"
	"time"
)

// Reasons of state transitions, as EC2 words them.
const (
	userShutdown  = "Client.UserInitiatedShutdown: User initiated shutdown"
	guestShutdown = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
	serverError   = "Server.InternalError: Internal error on launch"
)

func stateReasonCode(reason string) string {
	code, _, _ := strings.Cut(reason, ":")
	return code
}

// bootLocked starts the machine of a pending instance.
func (w *World) bootLocked(i *instance) {
	copied := i.clone()
	w.runLocked(i, job{
		name: "start", start: true, quiet: w.Timing.Boot,
		do: func(ctx context.Context) error { return w.Hypervisor.Start(ctx, copied) },
		done: func(err error) {
			switch {
			case i.State != Pending: // terminated meanwhile
			case err != nil:
				w.terminateLocked(i, serverError)
			default:
				w.setStateLocked(i, Running)
				w.memberRunningLocked(i)
				if i.halted && i.State == Running {
					w.haltLocked(i)
				}
			}
		},
	})
}

// terminateLocked ends an instance: the machine first, then its address.
func (w *World) terminateLocked(i *instance, reason string) {
	if i.State.gone() {
		return
	}
	i.StateReason = reason
	w.setStateLocked(i, ShuttingDown)
	if i.abortLaunch != nil {
		i.abortLaunch()
	}
	w.memberLostLocked(i)
	w.runLocked(i, job{
		name: "terminate", quiet: w.Timing.Shutdown,
		do: func(ctx context.Context) error { return w.Hypervisor.Terminate(ctx, i.ID) },
		done: func(error) { // a machine that cannot be ended is gone for the account all the same
			i.endTime = time.Now()
			w.setStateLocked(i, Terminated)
			w.detachLocked(i)
			w.memberGoneLocked(i)
		},
	})
}

// stopLocked stops an instance; its address and identity stay.
func (w *World) stopLocked(i *instance, reason string) {
	i.StateReason = reason
	w.setStateLocked(i, Stopping)
	w.runLocked(i, job{
		name: "stop", quiet: w.Timing.Shutdown,
		do: func(ctx context.Context) error { return w.Hypervisor.Stop(ctx, i.ID) },
		done: func(error) {
			if i.State == Stopping {
				w.setStateLocked(i, Stopped)
				w.memberStoppedLocked(i)
			}
		},
	})
}

// change is one line of the answers of Terminate-, Stop- and StartInstances.
type change struct {
	i      *instance
	before State
}

func changeNodes(changes []change) []node {
	return []node{elList("instancesSet", "item", changes, func(c change) any {
		return []node{el("instanceId", c.i.ID), el("currentState", stateNodes(c.i.State)), el("previousState", stateNodes(c.before))}
	})}
}

func (w *World) terminateInstances(req *request) (any, error) {
	list, err := w.namedInstancesLocked(req)
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, i := range list {
		changes = append(changes, change{i, i.State})
		w.terminateLocked(i, userShutdown)
	}
	return changeNodes(changes), nil
}

func (w *World) stopInstances(req *request) (any, error) {
	list, err := w.namedInstancesLocked(req)
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, i := range list {
		if i.State != Running && i.State != Stopping && i.State != Stopped {
			return nil, fail("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be stopped.", i.ID)
		}
	}
	for _, i := range list {
		changes = append(changes, change{i, i.State})
		if i.State == Running {
			w.stopLocked(i, userShutdown)
		}
	}
	return changeNodes(changes), nil
}

func (w *World) startInstances(req *request) (any, error) {
	list, err := w.namedInstancesLocked(req)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.State != Stopped && i.State != Running && i.State != Pending {
			return nil, fail("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
		}
	}
	var changes []change
	for _, i := range list {
		changes = append(changes, change{i, i.State})
		if i.State == Stopped {
			w.startLocked(i)
		}
	}
	return changeNodes(changes), nil
}

// startLocked starts a stopped instance again.
func (w *World) startLocked(i *instance) {
	i.State, i.StateReason, i.LaunchTime = Pending, "", time.Now()
	w.bootLocked(i)
}

// rebootInstances restarts machines; the state stays running throughout.
func (w *World) rebootInstances(req *request) (any, error) {
	list, err := w.namedInstancesLocked(req)
	if err != nil {
		return nil, err
	}
	for _, i := range list {
		if i.State != Running {
			return nil, fail("IncorrectInstanceState", "The instance '%s' is not in the 'running' state.", i.ID)
		}
	}
	for _, i := range list {
		w.runLocked(i, job{
			name: "reboot",
			do:   func(ctx context.Context) error { return w.Hypervisor.Reboot(ctx, i.ID) },
			done: func(error) {},
		})
	}
	return []node{el("return", true)}, nil
}

// Halted tells the world that a running guest powered itself off. The instance
// stops, or terminates if its launch template says so; a group replaces it.
func (w *World) Halted(instanceID string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changingLocked()
	i := w.instances[instanceID]
	switch {
	case i == nil:
	case i.State == Pending:
		i.halted = true // Start is about to be done
	case i.State == Running:
		w.haltLocked(i)
	}
}

func (w *World) haltLocked(i *instance) {
	i.halted = false
	if i.shutdownBehavior == "terminate" {
		w.terminateLocked(i, guestShutdown)
		return
	}
	w.stopLocked(i, guestShutdown)
}

// forgetLocked drops instances that were terminated long enough ago.
func (w *World) forgetLocked() {
	keep := w.order[:0]
	for _, id := range w.order {
		if i := w.instances[id]; i.State == Terminated && time.Since(i.endTime) >= w.Timing.Remembered {
			delete(w.instances, id)
			continue
		}
		keep = append(keep, id)
	}
	w.order = keep
}
