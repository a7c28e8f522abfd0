package joinery_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bubbleRule says how a test waits in a bubble of testing/synctest. What is due at one
// instant runs in any order, and concurrently, so that a test that wakes from time.Sleep
// races with the goroutines that it is about to judge.
const bubbleRule = "a test's own goroutine waits by bubble.Sleep; what runs in another one waits by wait.For with the context that it is given, or in a go statement by time.Sleep"

// bareWaits are the ways to wait without letting the other goroutines come to rest.
var bareWaits = []string{"time.Sleep", "time.After", "time.Tick", "time.NewTimer", "time.NewTicker"}

// waiting walks code of a test. It reports what waits in the wrong way for the goroutine
// that it may run in.
type waiting struct {
	report  func(at token.Pos, name string)
	started bool // by a go statement, so another goroutine for certain
	given   bool // a context, so perhaps another one: a service or a fake
}

// Visit implements ast.Visitor.
func (w waiting) Visit(n ast.Node) ast.Visitor {
	switch n := n.(type) {
	case *ast.FuncDecl:
		w.given = takesContext(n.Type)
	case *ast.FuncLit:
		w.given = takesContext(n.Type)
	case *ast.GoStmt:
		return w.starting(n.Call, n.Call.Fun)
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Go" && len(n.Args) == 1 {
			return w.starting(n, n.Args[0])
		}
	case *ast.SelectorExpr:
		if name := selected(n); w.wrong(name) {
			w.report(n.Pos(), name)
		}
	}
	return w
}

// starting walks a call that starts a goroutine with the function.
func (w waiting) starting(call *ast.CallExpr, function ast.Expr) ast.Visitor {
	lit, ok := function.(*ast.FuncLit)
	if !ok {
		return w
	}
	for _, argument := range call.Args {
		if argument != function {
			ast.Walk(w, argument)
		}
	}
	w.started, w.given = true, takesContext(lit.Type)
	ast.Walk(w, lit.Body)
	return nil
}

func (w waiting) wrong(name string) bool {
	switch {
	case name == "bubble.Sleep":
		return w.started || w.given
	case name == "wait.For":
		return !w.started && !w.given
	}
	return !w.started && slices.Contains(bareWaits, name)
}

func takesContext(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool { return selected(p.Type) == "context.Context" })
}

// wrongWaits returns where a test file waits in the wrong way.
func wrongWaits(t *testing.T, file string, source any) (found []string) {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Walk(waiting{report: func(at token.Pos, name string) {
		p := fset.Position(at)
		found = append(found, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, name))
	}}, tree)
	return found
}

// bubbled returns the test files by directory, of the directories with a bubble.
func bubbled(t *testing.T) map[string][]string {
	t.Helper()
	tests, has := map[string][]string{}, map[string]bool{}
	for _, f := range sources(t) {
		if !strings.HasSuffix(f, "_test.go") {
			continue
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Dir(f)
		tests[dir] = append(tests[dir], f)
		has[dir] = has[dir] || dir != "." && bytes.Contains(text, []byte(`"testing/synctest"`))
	}
	for dir := range tests {
		if !has[dir] {
			delete(tests, dir)
		}
	}
	return tests
}

func TestBubblesComeToRestBeforeTheyAreJudged(t *testing.T) {
	dirs := bubbled(t)
	if len(dirs) < 20 {
		t.Fatalf("only %d directories with bubbles found", len(dirs))
	}
	for _, files := range dirs {
		for _, f := range files {
			for _, found := range wrongWaits(t, f, nil) {
				t.Errorf("%s: %s", found, bubbleRule)
			}
		}
	}
}

func TestBubbleRuleFindsWrongWaits(t *testing.T) {
	for _, code := range []string{
		`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(d); check() }) }`,
		`func TestA(t *testing.T) { withRig(t, func(r *rig) { for range 3 { time.Sleep(d) } }) }`,
		`func TestA(t *testing.T) { time.Sleep(d); synctest.Wait() }`,
		`func (r *rig) settle() { for ; r.busy(); time.Sleep(d) { } }`,
		`func settle() { <-time.After(d) }`,
		`func settle(done chan error) { select { case <-done: case <-time.After(d): } }`,
		`func settle() { timer := time.NewTimer(d); <-timer.C }`,
		`func settle() { for range time.Tick(d) { } }`,
		`var pause = time.Sleep`,
		`func TestA(t *testing.T) { _ = wait.For(t.Context(), d) }`,
		`func lead(ctx context.Context) { play(func() { _ = wait.For(ctx, d) }) }`,
		`func TestA(t *testing.T) { go serve(func() { time.Sleep(d) }) }`,
		`func TestA(t *testing.T) { go func(d time.Duration) { }(<-time.After(d)) }`,
		`func TestA(t *testing.T) { go func() { bubble.Sleep(d) }() }`,
		`func TestA(t *testing.T) { wg.Go(func() { bubble.Sleep(d) }) }`,
		`func (f *fake) Run(ctx context.Context) error { bubble.Sleep(d); return nil }`,
	} {
		if got := wrongWaits(t, "x_test.go", "package x\n"+code); len(got) != 1 || !strings.HasPrefix(got[0], "x_test.go:2: ") {
			t.Errorf("%s\ngot %q, want one of line 2", code, got)
		}
	}
	for _, code := range []string{
		`func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { bubble.Sleep(d); check() }) }`,
		`func (r *rig) settle() { for ; r.busy(); bubble.Sleep(d) { } }`,
		`func TestA(t *testing.T) { go func() { time.Sleep(d); <-time.After(d) }() }`,
		`func TestA(t *testing.T) { go func() { each(func() { time.Sleep(d) }) }() }`,
		`func TestA(t *testing.T) { wg.Go(func() { time.Sleep(d) }) }`,
		`func TestA(t *testing.T) { go func() { _ = wait.For(t.Context(), d) }() }`,
		`func (f *fake) Run(ctx context.Context) error { return wait.For(ctx, d) }`,
		`var s = Service{Run: func(ctx context.Context) error { return wait.For(ctx, d) }}`,
		`func TestA(t *testing.T) { time.AfterFunc(d, wake); ctx, cancel := context.WithTimeout(t.Context(), time.Minute) }`,
	} {
		if got := wrongWaits(t, "x_test.go", "package x\n"+code); len(got) != 0 {
			t.Errorf("%s\ngot %q, want none", code, got)
		}
	}
}
