package awssim

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/joinery/joinery/internal/wait"
)

// Throttle is the Code of a Fault that stands for each service's own way to
// say that there were too many requests.
const Throttle = "Throttle"

// Fault is something that goes wrong. Service, Action, Principal, InstanceID,
// Count and Probability say when; exactly what happens is the sum of the rest.
type Fault struct {
	Service     string  // ssm, kms, sts, ec2, autoscaling, sqs, imds; empty: any
	Action      string  // such as GetParameter; for imds a path prefix such as /latest/meta-data/iam; empty: any
	Principal   string  // role of the caller; empty: any
	InstanceID  string  // for the Late fields and imds; empty: any
	Count       int     // how many matching calls it hits; 0: all until it is removed
	Probability float64 // of hitting a matching call, by the world's seed; 0: always

	Delay      time.Duration // before the action is done
	Code       string        // error instead of doing it, or Throttle
	Message    string
	Status     int  // of the error; 400 when zero
	LoseAnswer bool // do it, then close the connection without an answer

	// NoCapacity makes launches of a type (or of all, when empty) in a zone (or
	// in all) fail with InsufficientInstanceCapacity. Count counts launches.
	NoCapacity *Capacity
	// LateDescribe hides a new instance from EC2's Describe calls at first.
	LateDescribe time.Duration
	// LateIMDS refuses metadata connections for the first part of an instance's life.
	LateIMDS time.Duration
	// LateCredentials answers 404 for role credentials at first.
	LateCredentials time.Duration
}

// Capacity is a pool of machines: an instance type in a zone.
type Capacity struct{ InstanceType, Zone string }

type fault struct {
	Fault
	left int // calls left to hit; negative: no limit
}

// Inject makes a fault happen from now on. The returned function ends it; a
// fault that has hit Count times has ended by itself.
func (w *World) Inject(f Fault) (remove func()) {
	w.start()
	in := &fault{Fault: f, left: f.Count}
	if f.Count == 0 {
		in.left = -1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, in)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.faults = slices.DeleteFunc(w.faults, func(o *fault) bool { return o == in })
		w.reconcileAllLocked() // capacity may be back
	}
}

// hitLocked counts one hit and reports whether the fault happens this time.
func (w *World) hitLocked(f *fault) bool {
	if f.left == 0 || f.Probability > 0 && w.random.Float64() >= f.Probability {
		return false
	}
	if f.left > 0 {
		f.left--
	}
	return true
}

// faultFor finds the first fault that hits an API call; nil when none does.
func (w *World) faultFor(service, action, role string) *fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults {
		if f.Delay == 0 && f.Code == "" && !f.LoseAnswer {
			continue // acts on instances, not on calls
		}
		match := (f.Service == "" || f.Service == service) && (f.Action == "" || f.Action == action) &&
			(f.Principal == "" || f.Principal == role)
		if match && w.hitLocked(f) {
			return f
		}
	}
	return nil
}

func (f *fault) wait(ctx context.Context) error {
	if f == nil || f.Delay == 0 {
		return nil
	}
	return wait.For(ctx, f.Delay)
}

func (f *fault) fails() bool { return f != nil && f.Code != "" }
func (f *fault) loses() bool { return f != nil && f.LoseAnswer }

func (f *fault) asError(service string) *apiError {
	if f.Code == Throttle {
		return throttled(service)
	}
	e := &apiError{code: f.Code, message: f.Message, status: f.Status}
	setDefault(&e.status, http.StatusBadRequest)
	return e
}

// noCapacityLocked reports that a launch fails for want of machines.
func (w *World) noCapacityLocked(instanceType, zone string) bool {
	for _, f := range w.faults {
		if c := f.NoCapacity; c != nil && (c.InstanceType == "" || c.InstanceType == instanceType) &&
			(c.Zone == "" || c.Zone == zone) && w.hitLocked(f) {
			return true
		}
	}
	return false
}

// capacityBlockedLocked reports the same without counting a launch.
func (w *World) capacityBlockedLocked(instanceType, zone string) bool {
	return slices.ContainsFunc(w.faults, func(f *fault) bool {
		c := f.NoCapacity
		return c != nil && f.left != 0 && (c.InstanceType == "" || c.InstanceType == instanceType) && (c.Zone == "" || c.Zone == zone)
	})
}

// lateLocked reports whether an instance is younger than the delay that some
// fault gives it.
func (w *World) lateLocked(i *instance, delay func(Fault) time.Duration) bool {
	return slices.ContainsFunc(w.faults, func(f *fault) bool {
		return (f.InstanceID == "" || f.InstanceID == i.ID) && time.Since(i.LaunchTime) < delay(f.Fault)
	})
}
