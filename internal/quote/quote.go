// Package quote repeats what outsiders wrote in messages for people: annotations,
// contents of signing requests, provider ids, tag values and the texts of others'
// errors. Such text may hold line breaks, terminal escapes, a megabyte, or what is no
// UTF-8. A value inside a sentence is quoted where the sentence is made; package output
// makes every whole Event, condition and log line printable and bounded by means of this.
package quote

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/joinery/joinery/internal/redact"
)

// Most is how many bytes of one outsider's value a message repeats.
const Most = 128

// MostLine is how many bytes a whole message has at most. It is what the API server
// takes as the note of an Event (events.k8s.io/v1, Event.note).
const MostLine = 1024

// mostWords is how many bytes Words returns at most.
const mostWords = 80

// cut stands where the rest of a text was left out.
const cut = "…"

// Text returns s in quotes, as %q writes it, so that it cannot be taken for the words
// around it:
//   - what is not printable, such as line breaks, escapes and marks of direction, is
//     escaped, and so is what is no UTF-8;
//   - of more than Most bytes the beginning is shown, and how many there are;
//   - secrets are taken out first: half of one, or one between escapes, cannot be told by
//     its form.
func Text(s string) string {
	s = redact.Text(s)
	if len(s) <= Most {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%s%s (%d bytes)", strconv.Quote(head(s, Most)), cut, len(s))
}

// List returns the texts quoted, in brackets; the first few of many.
func List(texts []string) string {
	const shown = 5
	quoted := make([]string, 0, shown)
	for _, s := range texts[:min(len(texts), shown)] {
		quoted = append(quoted, Text(s))
	}
	if more := len(texts) - len(quoted); more > 0 {
		quoted = append(quoted, fmt.Sprintf("and %d more", more))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// Name returns s as it is if it is plain, as names of Kubernetes objects and AWS
// resources are, and as Text does otherwise. It is for names that usually cannot hold
// anything else, in the middle of a sentence:
//   - plain is letters, digits and any of - _ . : / @ + = , of ASCII, not empty, of at most
//     253 bytes.
func Name(s string) string {
	if s == "" || len(s) > 253 || strings.IndexFunc(s, odd) >= 0 {
		return Text(s)
	}
	return s
}

func odd(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && !strings.ContainsRune("-_.:/@+=,", r)
}

// Words returns a short text that local software wrote, such as the name of a lock, as a
// part of a list that people read. Nothing is put in quotes:
//   - blanks and line breaks become one blank each;
//   - what is not printable is escaped as %q does it;
//   - of more than 80 bytes the beginning is shown, with … at the end.
func Words(s string) string {
	return line(strings.Join(strings.Fields(head(s, MostLine)), " "), mostWords)
}

// Line returns a message as one printable line of at most MostLine bytes:
//   - what is not printable is escaped as %q does it, but nothing is put in quotes;
//   - of a longer one the beginning is shown, with … at the end.
//
// It is the last line of defence, for the whole of a message in which others' error
// texts are. It changes nothing in a message that is a line already.
func Line(s string) string { return line(s, MostLine) }

// Clipped returns the beginning of a text that has more than MostLine bytes, with … at the
// end. Nothing is escaped: it is for writers that do so themselves.
func Clipped(s string) string {
	if len(s) <= MostLine {
		return s
	}
	return head(s, MostLine-len(cut)) + cut
}

func line(s string, most int) string {
	if len(s) <= most && strings.IndexFunc(s, escaped) < 0 {
		return s
	}
	out := escape(head(s, most))
	if len(s) > most || len(out) > most {
		out = head(out, most-len(cut)) + cut
	}
	return out
}

// escaped reports a rune that a line of text does not hold as it is.
func escaped(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		if !escaped(r) {
			b.WriteRune(r)
			continue
		}
		_, width := utf8.DecodeRuneInString(s[i:])
		q := strconv.Quote(s[i : i+width])
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// head returns the first bytes of s, at most n, and no half of a rune at their end.
func head(s string, n int) string {
	if len(s) <= n {
		return s
	}
	s = s[:n]
	for i := 1; i < utf8.UTFMax && i <= len(s); i++ {
		if c := s[len(s)-i]; utf8.RuneStart(c) {
			if !utf8.FullRuneInString(s[len(s)-i:]) {
				return s[:len(s)-i]
			}
			break
		}
	}
	return s
}
