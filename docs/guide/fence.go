package guide

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// marker begins and ends a block.
const marker = "```"

// languages are those that a block may be of. An unknown one is an error: it may be a
// shell's, and its block would be passed over in silence.
var languages = []string{"sh", "text", "yaml", "json", "hcl", "csv"}

// fence is a fenced block that is being read.
type fence struct {
	line                         int
	indent, language, attributes string
	text                         strings.Builder
}

// fenced reports whether a line is one that Markdown may take for a fence, wherever it
// stands: in a list, in a quotation, or within a line.
func fenced(line string) bool {
	return strings.Contains(line, marker) || strings.Contains(line, "~~~")
}

// readFence reads a fence of the one form that there is: up to three blanks, three
// backticks and, where a block begins, its info string. Other forms are refused, as
// Markdown's readers differ about them.
func readFence(line string) (indent, info string, problem string) {
	bare := strings.TrimLeft(line, " ")
	indent = line[:len(line)-len(bare)]
	info, ok := strings.CutPrefix(bare, marker)
	switch {
	case !ok:
		return "", "", fmt.Sprintf("%q: expected a fence to be %s alone on its line, after blanks", line, marker)
	case strings.ContainsAny(info, "`~"):
		return "", "", fmt.Sprintf("%q: expected a fence of three backticks and no others in its line", line)
	case len(indent) > 3:
		return "", "", fmt.Sprintf("a fence after %d blanks: expected 3 at most", len(indent))
	}
	return indent, strings.TrimSpace(info), ""
}

// begin is the fence that an info string opens.
func begin(line int, indent, info string) (f fence, problem string) {
	f = fence{line: line, indent: indent, language: info}
	if at := strings.IndexFunc(info, unicode.IsSpace); at >= 0 {
		f.language, f.attributes = info[:at], strings.TrimSpace(info[at:])
	}
	switch {
	case !slices.Contains(languages, f.language):
		return f, fmt.Sprintf("a block of %q: expected one of %s", f.language, strings.Join(languages, ", "))
	case f.language != "sh" && f.attributes != "":
		return f, fmt.Sprintf("%q: expected it in blocks of sh alone", f.attributes)
	}
	return f, ""
}
