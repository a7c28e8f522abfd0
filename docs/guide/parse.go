package guide

import (
	"errors"
	"fmt"
	"strings"
)

// Parse returns the shell blocks of a Markdown document in order. Its error lists all
// that is wrong, each with the file and the line:
//   - a block of shell without a place, or with one and a reason not to be run;
//   - a block that is not run without its reason or its test;
//   - an info string with what is not known, or a time that is none;
//   - an expectation that belongs to no block, or that anything would meet;
//   - a fence that is not closed.
func Parse(file, text string) ([]Block, error) {
	p := &parser{file: file, open: -1}
	for line := range strings.Lines(text) {
		p.line++
		p.read(strings.TrimSuffix(line, "\n"))
	}
	if p.inside {
		p.fail(p.fence.line, "the fence is not closed")
	}
	for _, b := range p.blocks {
		if b.Within > 0 && b.Want == "" {
			p.fail(b.Line, "within=%s: expected a block ```text after it, to wait for", b.Within)
		}
	}
	return p.blocks, errors.Join(p.errs...)
}

// fence is a fenced block that is being read.
type fence struct {
	line           int
	indent, marker string
	info           string
	text           strings.Builder
}

type parser struct {
	file   string
	line   int
	inside bool
	fence  fence
	blocks []Block
	open   int // index of the block that an expectation would be of; -1: none
	errs   []error
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...)))
}

func (p *parser) read(line string) {
	bare := strings.TrimLeft(line, " ")
	if p.inside {
		if strings.TrimRight(bare, " ") == p.fence.marker {
			p.inside = false
			p.end()
			return
		}
		p.fence.text.WriteString(strings.TrimPrefix(line, p.fence.indent) + "\n")
		return
	}
	info, ok := strings.CutPrefix(bare, "```")
	switch {
	case ok:
		p.inside = true
		p.fence = fence{line: p.line, indent: line[:len(line)-len(bare)], marker: "```", info: strings.TrimSpace(info)}
	case strings.HasPrefix(bare, "#"):
		p.open = -1 // what one should see stands in the same section
	}
}

// end takes the block that was read.
func (p *parser) end() {
	language, attributes, _ := strings.Cut(p.fence.info, " ")
	switch language {
	case "sh":
		b := Block{File: p.file, Line: p.fence.line, Script: p.fence.text.String()}
		for _, why := range b.describe(attributes) {
			p.fail(b.Line, "%s", why)
		}
		p.blocks = append(p.blocks, b)
		p.open = len(p.blocks) - 1
	case "bash", "shell", "console", "zsh":
		p.fail(p.fence.line, "a block of %q: expected sh", language)
	case "text":
		p.expect()
	default:
		p.open = -1
	}
}

func (p *parser) expect() {
	want := p.fence.text.String()
	switch {
	case p.open < 0:
		p.fail(p.fence.line, "an expectation (text) of no block: expected a block of sh before it in the same section")
	case vague(want):
		p.fail(p.fence.line, "the expectation is met by anything")
	default:
		p.blocks[p.open].Want = want
	}
	p.open = -1
}
