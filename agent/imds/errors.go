package imds

import (
	"errors"
	"fmt"
)

// ErrAbsent says that IMDS answered that there is no such thing (404). For a
// lifecycle state, a tag or user data that is an answer, not a fault.
var ErrAbsent = errors.New("not in the instance metadata")

// UnavailableError says that IMDS gave no answer, or none yet. It is cured by
// waiting, or by an operator who turns IMDS on.
type UnavailableError struct {
	// Path that was asked for.
	Path string
	// Status is the HTTP status; 0 without an answer.
	Status int
	// Err is what the SDK says.
	Err error
}

// Error says what to look at.
func (e *UnavailableError) Error() string {
	switch e.Status {
	case 0:
		return fmt.Sprintf("instance metadata %s: no answer: is the instance's HttpEndpoint enabled? %v", e.Path, e.Err)
	case 403:
		return fmt.Sprintf("instance metadata %s: forbidden: is the instance's HttpEndpoint enabled, and no proxy between? %v", e.Path, e.Err)
	}
	return fmt.Sprintf("instance metadata %s: status %d: %v", e.Path, e.Status, e.Err)
}

// Unwrap returns what the SDK says.
func (e *UnavailableError) Unwrap() error { return e.Err }

// InvalidError says that IMDS answered with something that cannot be right.
type InvalidError struct {
	// Path that was asked for.
	Path string
	// Detail says what is wrong.
	Detail string
}

// Error names the path and what is wrong there.
func (e *InvalidError) Error() string { return "instance metadata " + e.Path + ": " + e.Detail }
