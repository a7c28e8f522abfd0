package joinery_test

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// `go install module@version` refuses a go.mod that would mean something else in
// another module. k8s.io/kubernetes asks for its staging modules by a version that does
// not exist; requirements of the real one are enough, and need no replace.
func TestProgramsCanBeInstalledByGo(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var mod struct{ Replace, Exclude []any }
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
		t.Errorf("go.mod replaces %v and excludes %v: go install would refuse it; require the version instead", mod.Replace, mod.Exclude)
	}
}
