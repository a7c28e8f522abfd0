package guide_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/joinery/joinery/lab/image"
	"github.com/joinery/joinery/lab/machine"
)

// session is a root login at a machine: what a block exports and the directory that it
// changes to are there for the next one.
type session struct {
	find func() (*machine.Machine, error)
}

// at is a session at a machine that there is.
func at(m *machine.Machine) session {
	return session{func() (*machine.Machine, error) { return m, nil }}
}

// The files of a session. /etc, as the host sees no file of a machine's /run.
const (
	settings = "/etc/lab/settings" // what the lab adds to the environment; may hold credentials
	state    = "/etc/lab/state"    // what the last block left
	block    = "/etc/lab/block"
)

// login runs a block as the next lines of a terminal.
const login = `cd; [ ! -e ` + settings + ` ] || . ` + settings + `
[ ! -e ` + state + ` ] || . ` + state + `
cd "$PWD"; set -e; . ` + block + `
export -p > ` + state

// Run implements guide.Shell.
func (s session) Run(ctx context.Context, script string) (string, error) {
	m, err := s.find()
	if err != nil {
		return "", err
	}
	if err := image.WriteFiles(m.Path("/"), map[string]image.File{block: {Data: []byte(script)}}); err != nil {
		return "", err
	}
	cmd, err := m.Command(ctx, "bash", "-c", login)
	if err != nil {
		return "", err
	}
	// Into one buffer, in the order in which a terminal would show it.
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// environment is the file that a session reads first.
func environment(values map[string]string) map[string]image.File {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(values[name], "'", `'\''`))
	}
	return map[string]image.File{settings: {Data: []byte(b.String()), Mode: 0o600}}
}
