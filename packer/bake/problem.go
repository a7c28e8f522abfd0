package bake

import (
	"fmt"
	"strings"

	"github.com/joinery/joinery/internal/quote"
)

// Problem is an option that will not do.
type Problem struct {
	// Field is the option's name in a template, such as archive[1].checksum.
	Field string
	// Value is what it holds.
	Value string
	// Want is what it should hold.
	Want string
}

// Error implements error.
func (p Problem) Error() string {
	if p.Value == "" {
		return fmt.Sprintf("%s: is empty: want %s", p.Field, p.Want)
	}
	return fmt.Sprintf("%s: is %s: want %s", p.Field, quote.Text(p.Value), p.Want)
}

// Problems are all problems of a set of options. It is an error when it is not
// empty.
type Problems []Problem

// Error implements error: a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(field, value, want string) {
	*p = append(*p, Problem{Field: field, Value: value, Want: want})
}

// Err returns the problems as an error, nil when there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
