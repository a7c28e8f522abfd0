package output_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/output"
	"github.com/joinery/joinery/internal/quote"
	"github.com/joinery/joinery/internal/redact"
)

const token = "abcdef.0123456789abcdef"

// The kinds of values that outsiders' words come in.
type (
	stringer  string
	valuer    struct{ v slog.Value }
	marshaler string
	jsoner    string
	raw       []byte
	record    struct {
		Name  string
		Inner *record
		Err   error
	}
	panicking string
)

func (s stringer) String() string                { return string(s) }
func (v valuer) LogValue() slog.Value            { return v.v }
func (m marshaler) MarshalText() ([]byte, error) { return []byte(m), nil }
func (j jsoner) MarshalJSON() ([]byte, error)    { return json.Marshal(string(j)) }
func (p panicking) MarshalText() ([]byte, error) { panic(string(p)) }

// everything logs s as every kind of value.
func everything(log *slog.Logger, s string) {
	group := slog.GroupValue(slog.String("in", s), slog.Any("deep", slog.GroupValue(slog.Any("er", errors.New(s)))))
	attrs := []any{
		"string", s, "error", errors.New(s), "wrapped", fmt.Errorf("read: %w", errors.Join(errors.New("a"), errors.New(s))),
		"stringer", stringer(s), "strings", []string{s}, "bytes", []byte(s), "raw", raw(s), "map", map[string]string{"k": s},
		"record", record{Name: s}, "pointer", &record{Err: errors.New(s)}, "marshaler", marshaler(s), "jsoner", jsoner(s),
		"panic", panicking(s), "valuer", valuer{slog.StringValue(s)}, "grouped", valuer{group}, slog.Group("group", "a", s, slog.Group("b", "c", stringer(s))),
		"attr of any", slog.AnyValue(s), s, "key",
	}
	log.With("always", s).WithGroup(s).With("then", valuer{group}).Info("said: "+s, attrs...)
}

// theLine returns what log wrote, which has to be one printable line.
func theLine(t *testing.T, out string, most int) string {
	t.Helper()
	line, whole := strings.CutSuffix(out, "\n")
	switch {
	case !whole || strings.Contains(line, "\n"):
		t.Errorf("it is not one line: %q", out)
	case !utf8.ValidString(line):
		t.Errorf("no UTF-8: %q", line)
	case strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0:
		t.Errorf("holds what is not printable: %q", line)
	case len(line) > most:
		t.Errorf("%d bytes: expected at most %d", len(line), most)
	}
	return line
}

// mostBytes bounds the line of everything: each of its texts and keys has MostLine bytes at
// most, and an escape has ten times the bytes of what it stands for at most. A group's key
// is repeated before each of its members.
const mostBytes = 80 * 4 * quote.MostLine

func FuzzLogger(f *testing.F) {
	for _, s := range []string{
		"plain", "two words", "ok\n2026-11-28T10:00:00Z INFO approved\r\n", "\x1b[2J\x1b[1;31mapproved\x07", "i-\u202e0123\u2066", `" reason="approved`,
		"a\xff\xfe\xc3", "\u2028", "\u0085", "a\x00b", "", "\ufffd", strings.Repeat("x\n", 1<<12), strings.Repeat("€", 1<<12), strings.Repeat("\xff", 1<<12),
		strings.Repeat("\U000e0001", 1<<10), strings.Repeat("x", quote.MostLine-9) + " " + token, "=", "a=b c", token, "-----BEGIN EC PRIVATE KEY-----\nMHcC\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var out bytes.Buffer
		everything(output.NewLogger(&out, slog.LevelInfo), s+" "+token)
		line := theLine(t, out.String(), mostBytes)
		if strings.Contains(line, token) {
			t.Errorf("it says the token: %s", line)
		}
		message := output.Line(s + " " + token)
		theLine(t, message+"\n", quote.MostLine)
		if strings.Contains(message, token) {
			t.Errorf("it says the token: %s", message)
		}
	})
}

// logged returns the line of a record, without its time and level.
func logged(say func(*slog.Logger)) string {
	var out bytes.Buffer
	say(output.NewLogger(&out, slog.LevelInfo))
	_, line, _ := strings.Cut(strings.TrimSuffix(out.String(), "\n"), "level=INFO ")
	return line
}

func TestWhatIsPlainStaysAsItIs(t *testing.T) {
	at := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	got := logged(func(l *slog.Logger) {
		l.With("part", "csr").Info("signing request", "n", 5, "took", 90*time.Second, "at", at, "share", 0.5, "ok", true, "big", uint64(1)<<63,
			"node", "ip-10-0-0-1.eu-west-1.compute.internal", "error", io.EOF, "nothing", nil, "address", netip.MustParseAddrPort("10.0.0.1:6443"),
			"names", []string{"a", "b"}, slog.Group("g", "k", "v"), slog.Attr{}, slog.Group("empty"))
	})
	const want = `msg="signing request" part=csr n=5 took=1m30s at=2026-11-30T01:02:03.000Z share=0.5 ok=true big=9223372036854775808 ` +
		`node=ip-10-0-0-1.eu-west-1.compute.internal error=EOF nothing=<nil> address=10.0.0.1:6443 names="[a b]" g.k=v`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What is not printable is escaped once: not here and by the writer too.
func TestOutsidersTextIsEscapedOnce(t *testing.T) {
	got := logged(func(l *slog.Logger) {
		l.Info("a b\n", "error", errors.New("x\ny"), "quoted", "node "+quote.Text("a\n"))
	})
	if want := `msg="a b\n" error="x\ny" quoted="node \"a\\n\""`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLongTextIsClipped(t *testing.T) {
	long := strings.Repeat("a", quote.MostLine+1)
	got := logged(func(l *slog.Logger) { l.Info(long, "error", errors.New(long)) })
	if want := strings.Repeat("a", quote.MostLine-3) + "…"; got != "msg="+want+" error="+want {
		t.Errorf("got %s", got)
	}
}

func TestSecretsAreNotSaid(t *testing.T) {
	var out bytes.Buffer
	everything(output.NewLogger(&out, slog.LevelInfo), token)
	if strings.Contains(out.String(), token) {
		t.Errorf("it says the token: %s", out.String())
	}
	for _, value := range strings.Split(out.String(), redact.Mark+".")[1:] { // each key stands in the group
		if !strings.Contains(value, redact.Mark) {
			t.Errorf("the token was not in it, so nothing was tried: %s", value)
		}
	}
	// What has no form to be told by hides itself.
	type holder struct{ Secret v1alpha1.Secret }
	secret := v1alpha1.Secret("horse battery")
	got := logged(func(l *slog.Logger) {
		l.Info("m", "value", secret, "pointer", &secret, "in", holder{secret}, "list", []v1alpha1.Secret{secret}, "group", slog.GroupValue(slog.Any("s", secret)),
			"error", fmt.Errorf("refused %s", secret))
	})
	if strings.Contains(got, "horse") || strings.Count(got, "[redacted]") < 5 {
		t.Errorf("got %s", got)
	}
}

// A secret that stands where the text is cut cannot be told by its half.
func TestSecretAtTheCut(t *testing.T) {
	text := strings.Repeat("x", quote.MostLine-10) + " " + token
	if got := output.Line(text); strings.Contains(got, "abcdef") {
		t.Errorf("got %s", got)
	}
	if got := logged(func(l *slog.Logger) { l.Info("m", "error", errors.New(text)) }); strings.Contains(got, "abcdef") {
		t.Errorf("got %s", got)
	}
}

func TestLevel(t *testing.T) {
	log := output.NewLogger(io.Discard, slog.LevelWarn)
	if ctx := t.Context(); log.Enabled(ctx, slog.LevelInfo) || !log.Enabled(ctx, slog.LevelWarn) {
		t.Error("the level is not heeded")
	}
}
