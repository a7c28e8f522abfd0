package guide

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Parse returns the shell blocks of a Markdown document in order. Its error lists all
// that is wrong, each with the file and the line:
//   - a fence in any other form than three backticks after at most three blanks, one of a
//     language that is not known, and one that is not closed;
//   - HTML, which could hide a block from the reader;
//   - a block of shell without commands, without a place, or with one and a reason not to
//     be run;
//   - a block that is not run without its reason or its test;
//   - an info string with what is not known, or a time that is none;
//   - an expectation that belongs to no block, or that anything would meet.
func Parse(file, text string) ([]Block, error) {
	p := &parser{file: file, open: -1}
	for line := range strings.Lines(text) {
		p.line++
		p.read(strings.TrimSuffix(line, "\n"))
	}
	if p.inside {
		p.unclosed()
	}
	for _, b := range p.blocks {
		if b.Within > 0 && b.Want == "" {
			p.fail(b.Line, "within=%s: expected a block ```text after it, to wait for", b.Within)
		}
	}
	return p.blocks, errors.Join(p.errs...)
}

type parser struct {
	file   string
	line   int
	inside bool
	fence  fence
	blocks []Block
	// chapter is the heading of the second level that was read last.
	chapter string
	open    int // index of the block that an expectation would be of; -1: none
	errs    []error
}

func (p *parser) fail(line int, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...)))
}

func (p *parser) unclosed() { p.fail(p.fence.line, "the fence is not closed") }

func (p *parser) read(line string) {
	switch {
	case strings.Contains(line, "\r"):
		p.fail(p.line, "a carriage return: expected lines to end with a line feed alone")
	case fenced(line):
		p.readFence(line)
	case p.inside:
		p.readInside(line)
	default:
		p.readText(line)
	}
}

// readFence begins or ends a block.
func (p *parser) readFence(line string) {
	indent, info, problem := readFence(line)
	switch {
	case problem != "":
		p.fail(p.line, "%s", problem)
		return
	case p.inside && info == "":
		if indent != p.fence.indent {
			p.fail(p.line, "the fence of line %d is closed after %d blanks: expected %d", p.fence.line, len(indent), len(p.fence.indent))
		}
		p.inside = false
		p.end()
		return
	case p.inside:
		p.unclosed()
	}
	p.inside = true
	p.fence, problem = begin(p.line, indent, info)
	if problem != "" {
		p.fail(p.line, "%s", problem)
	}
}

func (p *parser) readInside(line string) {
	text, ok := strings.CutPrefix(line, p.fence.indent)
	if !ok && strings.TrimSpace(line) != "" {
		p.fail(p.line, "a line to the left of its fence ends the block: expected %d blanks before it", len(p.fence.indent))
	}
	p.fence.text.WriteString(text + "\n")
}

// html begins a part of Markdown that is HTML, in a list or a quotation too.
var html = regexp.MustCompile(`^[\s>*+\-0-9.)]*<[A-Za-z/!?]|<!--`)

func (p *parser) readText(line string) {
	if html.MatchString(line) {
		p.fail(p.line, "HTML: expected Markdown alone")
	}
	if strings.HasPrefix(strings.TrimLeft(line, " "), "#") {
		p.open = -1 // what one should see stands in the same section
	}
	if title, ok := strings.CutPrefix(line, "## "); ok {
		p.chapter = strings.TrimSpace(title)
	}
}

// end takes the block that was read.
func (p *parser) end() {
	switch p.fence.language {
	case "sh":
		b := Block{File: p.file, Line: p.fence.line, Chapter: p.chapter, Script: p.fence.text.String()}
		for _, why := range b.describe(p.fence.attributes) {
			p.fail(b.Line, "%s", why)
		}
		p.blocks = append(p.blocks, b)
		p.open = len(p.blocks) - 1
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
