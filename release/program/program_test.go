package program_test

import (
	"os"
	"strings"
	"testing"

	"github.com/joinery/joinery/release/program"
)

// A test is not stamped with a commit: what is not traceable is not released.
func TestReadRefusesProgramsWithoutACommit(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, err = program.Read(self, program.Operator, program.Platform{OS: "linux", Arch: "amd64"})
	if err == nil || !strings.Contains(err.Error(), "git checkout") {
		t.Errorf("%v", err)
	}
}
