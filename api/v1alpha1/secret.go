package v1alpha1

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is text that must not be seen: every way of printing, logging or
// encoding it gives a placeholder. Reveal is the only way to read it.
type Secret string

// Reveal returns the text itself, for the one place that must send it.
func (s Secret) Reveal() string { return string(s) }

// String returns a placeholder.
func (s Secret) String() string { return redacted }

// Format writes a placeholder for every verb, so that %x or %q leak nothing.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// GoString returns a placeholder.
func (s Secret) GoString() string { return redacted }

// MarshalText encodes a placeholder, in JSON and YAML too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue logs a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
