// Package output is the one way by which the programs' words reach people: log lines,
// Events, conditions and last words on standard error. Parts of them come from outsiders:
// annotations, requests, tags, the texts of others' errors. Here each becomes printable and
// bounded and loses its secrets, so that no call site has to remember it. A rule test in
// the repository's root keeps every other way shut.
//
// A value inside a sentence is still quoted where the sentence is made, by package quote:
// it must not be taken for the words around it.
package output

import (
	"io"
	"log/slog"

	"github.com/joinery/joinery/internal/quote"
	"github.com/joinery/joinery/internal/redact"
)

// Line returns a message without secrets, as one printable line of at most
// quote.MostLine bytes. It changes nothing in what is such a line already.
func Line(message string) string {
	// Redacted first: a secret that is cut in two cannot be told by its form.
	return quote.Line(redact.Text(message))
}

// NewLogger returns the logger of a program. It writes one printable line to w for each
// record of the level or above. The message and each value have at most quote.MostLine
// bytes before they are escaped, and no secrets. Numbers, times and durations stay as they
// are.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(&handler{slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})})
}
