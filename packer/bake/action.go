package bake

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/joinery/joinery/internal/redact"
)

// Plan is what is done to a machine, in order.
type Plan struct {
	System System
	Steps  []Step
}

// Step is a part of a plan.
type Step struct {
	Name string
	// Reason says what a node would suffer without the step.
	Reason  string
	Actions []Action
}

// Action is one change of a machine. It is one of the types below.
type Action interface {
	fmt.Stringer
	action()
}

type (
	// Write makes a file. Directories in between have mode 0755.
	Write struct {
		Path string
		Data []byte
		Mode fs.FileMode
	}
	// Place makes a program of an archive that is a single file.
	Place struct {
		Archive Archive
		Path    string
	}
	// Unpack unpacks a tar archive in a directory.
	Unpack struct {
		Archive Archive
		Dir     string
	}
	// Refresh reads the indexes of all repositories. One that is unsigned, or signed
	// by another key, is an error.
	Refresh struct{}
	// Install installs packages of repositories; each may be followed by =version.
	Install struct{ Packages []string }
	// InstallFiles installs verified package files of the offline directory.
	InstallFiles struct{ Files []string }
	// Hold keeps packages at their version.
	Hold struct{ Packages []string }
	// Units changes what systemd starts.
	Units struct{ Enable, Disable, Mask []string }
	// Remove deletes files and directories, by patterns of the shell.
	Remove struct{ Patterns []string }
	// Empty truncates every file below a directory. Their owners stay.
	Empty struct{ Dir string }
	// Expect runs a program and wants a text in its output.
	Expect struct {
		Command []string
		Text    string
	}
	// Import puts the container images of an archive into the runtime.
	Import struct{ Archive Archive }
	// Pull pulls a container image by its digest and gives it its tag.
	Pull struct{ Image string }
	// Run runs a command that is none of the above.
	Run struct{ Command string }
)

func (Write) action()        {}
func (Place) action()        {}
func (Unpack) action()       {}
func (Refresh) action()      {}
func (Install) action()      {}
func (InstallFiles) action() {}
func (Hold) action()         {}
func (Units) action()        {}
func (Remove) action()       {}
func (Empty) action()        {}
func (Expect) action()       {}
func (Import) action()       {}
func (Pull) action()         {}
func (Run) action()          {}

// String implements fmt.Stringer, as do the methods of the other actions.
func (a Write) String() string        { return fmt.Sprintf("write %s (%04o)", a.Path, a.Mode) }
func (a Place) String() string        { return "place " + a.Archive.Component + " at " + a.Path }
func (a Unpack) String() string       { return "unpack " + a.Archive.Component + " in " + a.Dir }
func (Refresh) String() string        { return "read the repositories' signed indexes" }
func (a Install) String() string      { return "install " + strings.Join(a.Packages, " ") }
func (a InstallFiles) String() string { return "install files " + strings.Join(a.Files, " ") }
func (a Hold) String() string         { return "hold " + strings.Join(a.Packages, " ") }
func (a Remove) String() string       { return "remove " + strings.Join(a.Patterns, " ") }
func (a Empty) String() string        { return "empty every file below " + a.Dir }
func (a Expect) String() string {
	return fmt.Sprintf("expect %q of %s", a.Text, strings.Join(a.Command, " "))
}
func (a Import) String() string { return "import images of " + redact.Address(a.Archive.URL) }
func (a Pull) String() string   { return "pull " + a.Image }
func (a Run) String() string    { return "run " + a.Command }

// String implements fmt.Stringer.
func (a Units) String() string {
	var parts []string
	for _, part := range []struct {
		verb  string
		units []string
	}{{"enable", a.Enable}, {"disable", a.Disable}, {"mask", a.Mask}} {
		if len(part.units) > 0 {
			parts = append(parts, part.verb+" "+strings.Join(part.units, " "))
		}
	}
	return strings.Join(parts, ", ")
}

// String lists the plan: what is done, and why.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", p.System)
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\n## %s: %s\n", s.Name, s.Reason)
		for _, a := range s.Actions {
			fmt.Fprintf(&b, "- %s\n", a)
		}
	}
	return b.String()
}
