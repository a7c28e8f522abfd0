package output

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"

	"github.com/joinery/joinery/internal/quote"
	"github.com/joinery/joinery/internal/redact"
)

// handler bounds and redacts the texts of a record before text writes it. Escaping is left
// to text, which quotes whatever is not printable: done here too, it would be escaped
// twice.
type handler struct{ text slog.Handler }

// Enabled reports whether records of the level are written.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.text.Enabled(ctx, l) }

// Handle writes the record.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, clean(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(attr(a))
		return true
	})
	return h.text.Handle(ctx, out)
}

// WithAttrs returns a handler that writes the attributes with every record.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.text.WithAttrs(members(attrs))}
}

// WithGroup returns a handler that writes what follows in the group.
func (h *handler) WithGroup(name string) slog.Handler { return &handler{h.text.WithGroup(clean(name))} }

func clean(s string) string { return quote.Clipped(redact.Text(s)) }

func members(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = attr(a)
	}
	return out
}

func attr(a slog.Attr) slog.Attr {
	if a.Equal(slog.Attr{}) {
		return a // left out by every handler
	}
	return slog.Attr{Key: clean(a.Key), Value: value(a.Value.Resolve())}
}

func value(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(clean(v.String()))
	case slog.KindGroup:
		return slog.GroupValue(members(v.Group())...)
	case slog.KindAny:
		return slog.StringValue(clean(printed(v.Any())))
	}
	return v // a number, a time or a duration
}

// printed returns the text of any value. A type's own way to print itself comes first, its
// way to encode itself next, so that a type that hides a secret in either keeps hiding it.
func printed(v any) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = fmt.Sprintf("!PANIC: %v", r) // as slog prints one
		}
	}()
	switch v := v.(type) {
	case fmt.Formatter, fmt.Stringer, error:
		return fmt.Sprintf("%+v", v)
	case encoding.TextMarshaler:
		return encoded(v.MarshalText())
	case json.Marshaler:
		return encoded(json.Marshal(v))
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Slice && r.Type().Elem().Kind() == reflect.Uint8 {
		return string(r.Bytes()) // as a text: the numbers of a secret would pass for no secret
	}
	return fmt.Sprintf("%+v", v)
}

func encoded(text []byte, err error) string {
	if err != nil {
		return "!ERROR: " + err.Error()
	}
	return string(text)
}
