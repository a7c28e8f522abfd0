package guide

import (
	"fmt"
	"regexp"
	"strings"
)

// anything is the placeholder in an expectation.
const anything = "…"

// vague reports whether an expectation is of nothing but placeholders and blanks.
func vague(want string) bool {
	return strings.TrimSpace(strings.ReplaceAll(want, anything, "")) == ""
}

// Match compares what a block printed with what it is expected to print. Blanks at the
// ends of lines and empty lines at both ends count for nothing.
func Match(want, got string) error {
	if pattern(want).MatchString(canonical(got)) {
		return nil
	}
	return fmt.Errorf("expected to see\n%s\nand saw\n%s", indent(want), indent(got))
}

// pattern is the expectation as an expression over canonical output.
func pattern(want string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`^`)
	for line := range strings.Lines(canonical(want)) {
		line = strings.TrimSuffix(line, "\n")
		if line == anything {
			b.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		for n, part := range strings.Split(line, anything) {
			if n > 0 {
				b.WriteString(`[^\n]*?`)
			}
			b.WriteString(regexp.QuoteMeta(part))
		}
		b.WriteString(`\n`)
	}
	b.WriteString(`$`)
	return regexp.MustCompile(b.String()) // made of quoted parts alone
}

// canonical makes one blank of several and takes away those at the ends of lines, and
// empty lines at the ends of the text.
func canonical(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	whole := strings.Trim(strings.Join(lines, "\n"), "\n")
	if whole == "" {
		return ""
	}
	return whole + "\n"
}

func indent(text string) string {
	return "\t" + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n\t")
}
