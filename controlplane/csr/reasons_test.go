package csr_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every reason that a verdict can have is expected by name in some test.
func TestEveryReasonIsTested(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	tree, err := parser.ParseFile(token.NewFileSet(), "verdict.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(tree, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); !ok || kind.Name != "Reason" {
			return true
		}
		reasons++
		name := v.Names[0].Name
		if !strings.Contains(tests.String(), "csr."+name) && !strings.Contains(tests.String(), "Joinery"+name) &&
			!strings.Contains(tests.String(), "Hold"+name) && !strings.Contains(tests.String(), "Ignore"+name) {
			t.Errorf("no test expects %s", name)
		}
		return true
	})
	if reasons < 40 {
		t.Errorf("%d reasons found: verdict.go is read wrongly", reasons)
	}
}
