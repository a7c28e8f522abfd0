// Package guide reads a document whose shell blocks are a path to be followed, and
// follows it: each block is run where it says, and what it prints is compared with what
// the document promises. It does no I/O of its own; a Shell does.
//
// A block says in its info string where it runs:
//
//	```sh on=admin
//	kubectl get nodes
//	```
//
// on takes several places with commas between, and the block runs on each in turn.
// within=2m has it repeated until it prints what is expected. A block that is not run
// says why and which test looks at it instead:
//
//	```sh off="needs an account in China" test=deploy/iam.TestGolden
//
// A block ```text that follows is what one should see. In it … stands for any text
// within a line, a line of nothing but … for any number of lines, and blanks for any
// number of blanks.
package guide

import (
	"fmt"
	"time"
)

// Block is one block of shell commands.
type Block struct {
	// File and Line are where it begins: at its fence.
	File string
	Line int
	// Chapter is the heading of the second level that it is under.
	Chapter string
	// On names the places where it runs, in order. Empty: it is not run.
	On []string
	// Within is how long it is repeated until it prints Want; 0: it runs once.
	Within time.Duration
	// Off says why it is not run, and Test names the test that looks at it instead, as
	// directory.Function.
	Off, Test string
	// Script is what runs, as it is written.
	Script string
	// Want is what it is expected to print; empty: anything.
	Want string
}

// Place is where the block is in its document.
func (b Block) Place() string { return fmt.Sprintf("%s:%d", b.File, b.Line) }
