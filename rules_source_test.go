package joinery_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sources returns the tracked and the new Go files of the main module.
func sources(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.go").Output()
	if err != nil {
		t.Fatalf("list sources: %v", err)
	}
	var files []string
	for _, f := range strings.Fields(string(out)) {
		if _, err := os.Stat(f); err == nil {
			files = append(files, f)
		}
	}
	if len(files) < 50 {
		t.Fatalf("only %d sources found", len(files))
	}
	return files
}

// calls reports whether the file calls pkg.function, by the package's own name.
func calls(t *testing.T, file, pkg, function string) bool {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	ast.Inspect(tree, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok || s.Sel.Name != function {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		found = found || ok && x.Name == pkg
		return true
	})
	return found
}

func TestPlannersAreGivenTheTime(t *testing.T) {
	for _, dir := range []string{"cluster", "fit", "scaleup", "scaledown"} {
		files, err := filepath.Glob("autoscaler/" + dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no sources in autoscaler/%s: %v", dir, err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f, "_test.go") && calls(t, f, "time", "Now") {
				t.Errorf("%s calls time.Now: a plan depends on the time that it is given", f)
			}
		}
	}
}

func TestNoContextFromNowhere(t *testing.T) {
	for _, f := range sources(t) {
		product := !strings.HasPrefix(f, "cmd/") && !strings.HasSuffix(f, "_test.go")
		if product && calls(t, f, "context", "TODO") {
			t.Errorf("%s calls context.TODO", f)
		}
	}
}

// maxLines keeps a file readable in one sitting.
const maxLines = 320

func TestFilesAreSmall(t *testing.T) {
	for _, f := range sources(t) {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(data, []byte("\n")); n > maxLines && !strings.HasSuffix(f, "_test.go") {
			t.Errorf("%s has %d lines: at most %d", f, n, maxLines)
		}
	}
}
