// Package docs_test keeps the generated documents true to the code.
package docs_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the documents anew; the run then fails")

// kinds are the documents of the contract in the order in which a reader
// meets them.
var kinds = []string{"NodeConfig", "JoinBundle", "ControllerConfig", "NodeReport"}

const api = "../api/v1alpha1"

func TestReferenceIsGenerated(t *testing.T) {
	got := reference(t)
	if *update {
		if err := os.WriteFile("reference.md", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatal("reference.md written anew")
	}
	want, err := os.ReadFile("reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("reference.md is stale; run go test ./docs -update (-have +want):\n%s", diff)
	}
}

// reference renders the four contracts from the comments of their fields.
func reference(t *testing.T) string {
	t.Helper()
	set := token.NewFileSet()
	files, err := os.ReadDir(api)
	if err != nil {
		t.Fatal(err)
	}
	var trees []*ast.File
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(set, api+"/"+f.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	p, err := doc.NewFromFiles(set, trees, "github.com/joinery/joinery/api/v1alpha1")
	if err != nil {
		t.Fatal(err)
	}
	r := &renderer{types: map[string]*doc.Type{}, t: t}
	for _, typ := range p.Types {
		r.types[typ.Name] = typ
	}
	r.line("# Reference\n\nThe documents that the parts of Joinery exchange, generated from `api/v1alpha1` by `go test ./docs -update`. Decoding is strict: unknown fields, duplicate keys and unknown versions are errors, and all problems of a document are listed at once.")
	for _, k := range kinds {
		r.line("\n## %s\n", k)
		r.typ(k)
		for len(r.queue) > 0 {
			next := r.queue[0]
			r.queue = r.queue[1:]
			r.line("\n### %s\n", next)
			r.typ(next)
		}
	}
	return r.b.String()
}

type renderer struct {
	t     *testing.T
	b     strings.Builder
	types map[string]*doc.Type
	seen  map[string]bool
	queue []string
}

func (r *renderer) line(format string, args ...any) { fmt.Fprintf(&r.b, format+"\n", args...) }

// typ renders one type: its comment, then its fields or its values.
func (r *renderer) typ(name string) {
	typ := r.types[name]
	if typ == nil || typ.Doc == "" {
		r.t.Fatalf("type %s is missing or has no comment", name)
	}
	r.line("%s", paragraph(typ.Doc))
	spec := typ.Decl.Specs[0].(*ast.TypeSpec)
	fields, isStruct := spec.Type.(*ast.StructType)
	if !isStruct {
		r.values(typ)
		return
	}
	r.line("\n| field | type | meaning |\n|---|---|---|")
	for _, f := range fields.Fields.List {
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("json")
		key, _, _ := strings.Cut(tag, ",")
		if key == "" {
			r.line("| `apiVersion`, `kind` | string | always `joinery.dev/v1alpha1` and `%s` |", name)
			continue
		}
		if f.Doc.Text() == "" {
			r.t.Errorf("%s.%s has no comment", name, key)
		}
		r.line("| `%s` | %s | %s |", key, r.name(f.Type), paragraph(f.Doc.Text()))
	}
}

func (r *renderer) values(typ *doc.Type) {
	for _, group := range typ.Consts {
		r.line("\n| value | meaning |\n|---|---|")
		for _, s := range group.Decl.Specs {
			v := s.(*ast.ValueSpec)
			r.line("| `%s` | %s |", strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`), paragraph(v.Doc.Text()))
		}
	}
}

// name words a type and queues types of the package to be described.
func (r *renderer) name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if r.types[e.Name] != nil {
			r.enqueue(e.Name)
			return fmt.Sprintf("[%s](#%s)", e.Name, strings.ToLower(e.Name))
		}
		return e.Name
	case *ast.ArrayType:
		return "list of " + r.name(e.Elt)
	case *ast.MapType:
		return "map of " + r.name(e.Key) + " to " + r.name(e.Value)
	case *ast.StarExpr:
		return r.name(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	r.t.Fatalf("type expression %T", e)
	return ""
}

func (r *renderer) enqueue(name string) {
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	if !r.seen[name] {
		r.seen[name] = true
		r.queue = append(r.queue, name)
	}
}

func paragraph(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
