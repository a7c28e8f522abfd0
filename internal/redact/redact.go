// Package redact keeps secrets out of what people read. It is the last line: what
// handles a secret knows it and does not print it, but the text of an error comes
// from elsewhere, and a service that refuses a value may well repeat it.
package redact

import (
	"context"
	"encoding/base64"
	"log/slog"
	"regexp"
	"strings"
)

// Mark stands where a secret stood.
const Mark = "[redacted]"

// patterns are the secrets that can be told by their form: bootstrap tokens, private
// keys (to the end of the text if that is cut off), credentials of HTTP requests,
// and what is secret or bearing in signed AWS requests and AWS credentials.
var patterns = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b` +
	`|(?s:-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))` +
	`|(?:client-key-data|token-secret|"?SecretAccessKey"?|"?SessionToken"?|aws_secret_access_key|aws_session_token)["']?\s*[:=]\s*["']?[^\s"',}]+` +
	`|(?i:Bearer +\S+)` +
	`|(?i:X-Amz-(?:Signature|Security-Token)(?:=|%3D|: *)[^&\s"']+)` +
	`|\bSignature=[0-9a-f]{16,}`)

// Text returns s without the secrets that can be told by their form.
func Text(s string) string { return patterns.ReplaceAllString(s, Mark) }

// Error returns err with a text from which the given secrets are taken, in clear and
// in base64, and those that can be told by their form. What errors.Is and errors.As
// find in it stays. A nil error stays nil.
func Error(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, s := range secrets {
		// Anything shorter would stand in texts by chance.
		if len(s) < 8 {
			continue
		}
		clean = strings.ReplaceAll(clean, s, Mark)
		clean = strings.ReplaceAll(clean, base64.StdEncoding.EncodeToString([]byte(s)), Mark)
	}
	if clean = Text(clean); clean == text {
		return err
	}
	return &redacted{text: clean, err: err}
}

// redacted says something else than the error in it.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// Handler is a slog.Handler that takes secrets out of messages and attributes.
type Handler struct{ next slog.Handler }

// NewHandler returns a handler before next.
func NewHandler(next slog.Handler) *Handler { return &Handler{next} }

// Enabled asks the next handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle hands on the record without secrets.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

// WithAttrs takes secrets out of what is said with every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = attr(a)
	}
	return &Handler{h.next.WithAttrs(clean)}
}

// WithGroup opens a group of the next handler.
func (h *Handler) WithGroup(name string) slog.Handler { return &Handler{h.next.WithGroup(name)} }

func attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, Text(v.String()))
	case slog.KindGroup:
		group := v.Group()
		clean := make([]any, len(group))
		for i, m := range group {
			clean[i] = attr(m)
		}
		return slog.Group(a.Key, clean...)
	case slog.KindAny:
		// What is printed of it is what its text is.
		text := v.String()
		if clean := Text(text); clean != text {
			return slog.String(a.Key, clean)
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
