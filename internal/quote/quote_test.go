package quote_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/joinery/joinery/internal/quote"
)

// hostile is what somebody writes who wants to be taken for Joinery, or for an
// operator's terminal.
var hostile = map[string]string{
	"line breaks":   "ok\n2026-11-28T10:00:00Z INFO approved\r\n",
	"escapes":       "\x1b[2J\x1b[1;31mapproved\x07",
	"direction":     "i-\u202e0123\u2066",
	"quotes":        `" reason="approved`,
	"invalid UTF-8": "a\xff\xfe\xc3",
	"half a rune":   strings.Repeat("a", quote.Most-1) + "€",
	"NUL":           "a\x00b",
	"megabyte":      strings.Repeat("x\n", 1<<19),
	"empty":         "",
	"wide":          strings.Repeat("€", 1<<18),
	"bare bytes":    strings.Repeat("\xff", 1<<20),
}

func printable(t *testing.T, what, got string) {
	t.Helper()
	if !utf8.ValidString(got) {
		t.Errorf("%s: no UTF-8: %q", what, got)
	}
	if i := strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%s: holds what is not printable at byte %d: %q", what, i, got)
	}
}

func TestTextIsQuotedAndClipped(t *testing.T) {
	for what, s := range hostile {
		got := quote.Text(s)
		printable(t, what, got)
		if len(got) > 4*quote.Most+40 {
			t.Errorf("%s: %d bytes", what, len(got))
		}
		if inner := strings.ReplaceAll(got, `\"`, ""); !strings.HasPrefix(got, `"`) || strings.Count(inner, `"`) != 2 {
			t.Errorf("%s: it can end its own quotes: %s", what, got)
		}
	}
	for s, want := range map[string]string{
		"plain":      `"plain"`,
		"a\nb":       `"a\nb"`,
		"\x1b[31m":   `"\x1b[31m"`,
		"é":          `"é"`,
		"\xff":       `"\xff"`,
		"a\u202eb":   `"a\u202eb"`,
		`say "this"`: `"say \"this\""`,
	} {
		if got := quote.Text(s); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
	if got, want := quote.Text(hostile["half a rune"]), `"`+strings.Repeat("a", quote.Most-1)+`"… (130 bytes)`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNameIsQuotedOnlyIfItIsOdd(t *testing.T) {
	for _, s := range []string{"ip-10-0-0-1.eu-west-1.compute.internal", "i-0123456789abcdef0", "system:node:a", "arn:aws:iam::1:role/x"} {
		if got := quote.Name(s); got != s {
			t.Errorf("%q: got %s", s, got)
		}
	}
	for what, s := range hostile {
		if got := quote.Name(s); got != quote.Text(s) {
			t.Errorf("%s: got %s", what, got)
		}
	}
	if got := quote.Name("two words"); got != `"two words"` {
		t.Errorf("got %s", got)
	}
}

func TestLineIsOneLine(t *testing.T) {
	for what, s := range hostile {
		got := quote.Line("error: " + s)
		printable(t, what, got)
		if len(got) > quote.MostLine {
			t.Errorf("%s: %d bytes", what, len(got))
		}
	}
	for s, want := range map[string]string{
		`node "a": it's 5 € – …`: `node "a": it's 5 € – …`,
		"a\nb\tc":                `a\nb\tc`,
		"a\xffb":                 `a\xffb`,
		"\ufffd":                 "\ufffd",
	} {
		if got := quote.Line(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	if got := quote.Line(strings.Repeat("a", quote.MostLine)); strings.HasSuffix(got, "…") {
		t.Errorf("clipped although it fits: %d bytes", len(got))
	}
	if got := quote.Line(strings.Repeat("a", quote.MostLine+1)); !strings.HasSuffix(got, "a…") || len(got) != quote.MostLine {
		t.Errorf("got %d bytes: %q", len(got), got[len(got)-10:])
	}
}

func TestListShowsTheFirstFew(t *testing.T) {
	if got, want := quote.List([]string{"a", "b\n"}), `["a", "b\n"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := quote.List([]string{"1", "2", "3", "4", "5", "6", "7"}), `["1", "2", "3", "4", "5", and 2 more]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := quote.List(nil); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestWordsAreShort(t *testing.T) {
	for what, s := range hostile {
		got := quote.Words(s)
		printable(t, what, got)
		if len(got) > 80 {
			t.Errorf("%s: %d bytes", what, len(got))
		}
	}
	if got := quote.Words(" backup:\n  nightly\tdump\x1b "); got != `backup: nightly dump\x1b` {
		t.Errorf("got %s", got)
	}
}
