package bill_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"

	"github.com/joinery/joinery/release/bill"
	"github.com/joinery/joinery/release/program"
)

// The release's own program has a record of its modules like any other; tests have none.
func TestBillNamesEveryModule(t *testing.T) {
	file := filepath.Join(t.TempDir(), "release")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", file, "..").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := program.Program{Name: "joinery", File: file, Time: time.Unix(1_800_000_000, 0).UTC()}
	var texts [][]byte
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(t.TempDir(), name)
		if err := bill.Write(path, p); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Error("two bills of one program differ")
	}
	var b cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(texts[0]), cyclonedx.BOMFileFormatJSON).Decode(&b); err != nil {
		t.Fatal(err)
	}
	if main := b.Metadata.Component; main.Name != "joinery" || main.Type != cyclonedx.ComponentTypeApplication || b.Metadata.Timestamp != "2027-01-15T08:00:00Z" {
		t.Errorf("%s %s at %s", main.Type, main.Name, b.Metadata.Timestamp)
	}
	found := map[string]string{}
	for _, c := range *b.Components {
		found[c.Name] = c.PackageURL
	}
	if found["std"] != "pkg:golang/std@"+strings.TrimPrefix(runtime.Version(), "go") {
		t.Errorf("the standard library is %q", found["std"])
	}
	for _, m := range []string{"github.com/CycloneDX/cyclonedx-go", "github.com/google/uuid"} {
		if !strings.HasPrefix(found[m], "pkg:golang/"+m+"@v") {
			t.Errorf("%s is %q", m, found[m])
		}
	}
	if refs := (*b.Dependencies)[0].Dependencies; len(*refs) != len(*b.Components) {
		t.Errorf("%d components, %d of them depended on", len(*b.Components), len(*refs))
	}
}

func TestBillOfWhatIsNoProgram(t *testing.T) {
	if err := bill.Write(filepath.Join(t.TempDir(), "a"), program.Program{Name: "joinery", File: "bill_test.go"}); err == nil {
		t.Error("a text has a bill of materials")
	}
}
