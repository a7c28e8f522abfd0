package v1alpha1

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	// Field is the path of the field, such as spec.nodeName.mode; empty for the
	// document as a whole.
	Field string
	// Value is what stands there, as text; empty for secrets and for fields
	// that are missing.
	Value string
	// Detail says what is wrong and what was expected.
	Detail string
}

// String returns the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	if p.Value != "" {
		fmt.Fprintf(&b, "%q: ", p.Value)
	}
	b.WriteString(p.Detail)
	return b.String()
}

// InvalidError says everything that is wrong with a document that was there.
// A document that is absent is another error, the caller's.
type InvalidError struct {
	// Kind of the document that was expected.
	Kind string
	// Problems in the order of their fields in the document; never empty.
	Problems []Problem
}

// Error lists every problem.
func (e *InvalidError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return fmt.Sprintf("invalid %s: %s", e.Kind, strings.Join(lines, "; "))
}

// VersionError says that a document is of a version or kind that this build
// does not know, so nothing in it was read.
type VersionError struct {
	WantKind, APIVersion, Kind string
}

// Error names what stands there and what was expected.
func (e *VersionError) Error() string {
	return fmt.Sprintf("unknown document: apiVersion %q, kind %q: expected apiVersion %q, kind %q",
		e.APIVersion, e.Kind, GroupVersion, e.WantKind)
}

// problems collects what is wrong with a document.
type problems []Problem

func (p *problems) add(field, value, detail string, args ...any) {
	*p = append(*p, Problem{Field: field, Value: value, Detail: fmt.Sprintf(detail, args...)})
}

func (p problems) err(kind string) error {
	if len(p) == 0 {
		return nil
	}
	return &InvalidError{Kind: kind, Problems: p}
}
