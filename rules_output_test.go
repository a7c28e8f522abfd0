package joinery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ways are the functions and types by which words reach people raw, and the one place of
// each. Everything goes through package output there.
var ways = []struct {
	name  *regexp.Regexp
	place string
	use   string
}{
	{regexp.MustCompile(`^log/slog\.(New|NewTextHandler|NewJSONHandler|SetDefault|Default|Debug|Info|Warn|Error|Log|LogAttrs|With)(Context)?$`), "internal/output", "the logger that is passed in, or output.NewLogger"},
	{regexp.MustCompile(`^log\.`), "internal/output", "the logger that is passed in"},
	{regexp.MustCompile(`^k8s\.io/klog/v2\.(Info|Warning|Error|Fatal|Exit)`), "internal/output", "the logger that is passed in"},
	{regexp.MustCompile(`^k8s\.io/client-go/tools/(record|events)\.(New|EventRecorderAdapter)`), "controlplane/events", "the recorder that is passed in, or events.Start"},
	{regexp.MustCompile(`^k8s\.io/client-go/kubernetes/typed/(core|events)/v1\.EventSinkImpl$`), "controlplane/events", "events.Start"},
	{regexp.MustCompile(`^k8s\.io/api/(core|events)/v1\.Event$`), "controlplane/events", "the recorder that is passed in"},
}

// condition is a type whose Message people read on an object.
var condition = regexp.MustCompile(`^k8s\.io/(api/.*|apimachinery/pkg/apis/meta/v1)\.[A-Za-z]*Condition$`)

// raw returns by which ways a file lets words out raw, with what to use instead.
func raw(t *testing.T, file string, source any) []string {
	t.Helper()
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	imported := importNames(tree)
	var found []string
	add := func(at token.Pos, what, use string) {
		found = append(found, fset.Position(at).String()+": "+what+": use "+use)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			name := qualified(imported, n)
			for _, w := range ways {
				if w.name.MatchString(name) && path.Dir(file) != w.place {
					add(n.Pos(), name, w.use)
				}
			}
		case *ast.CompositeLit:
			for _, lit := range conditions(imported, n) {
				if !boundMessage(lit) {
					add(lit.Pos(), "the message of a condition", "output.Line right there")
				}
			}
		}
		return true
	})
	return found
}

// importNames maps the names of a file's imports to their paths.
func importNames(tree *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range tree.Imports {
		whole, _ := strconv.Unquote(i.Path.Value) // the parser has checked it
		name := path.Base(whole)
		if name == "v2" {
			name = path.Base(path.Dir(whole))
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = whole
	}
	return names
}

// qualified returns path.Name of what is selected from an imported package; empty for
// anything else.
func qualified(imported map[string]string, e ast.Expr) string {
	pkg, name, ok := strings.Cut(selected(e), ".")
	if !ok || imported[pkg] == "" {
		return ""
	}
	return imported[pkg] + "." + name
}

// conditions returns the literals of conditions that n is or, as a list, holds without
// their type.
func conditions(imported map[string]string, n *ast.CompositeLit) []*ast.CompositeLit {
	if condition.MatchString(qualified(imported, n.Type)) {
		return []*ast.CompositeLit{n}
	}
	list, ok := n.Type.(*ast.ArrayType)
	if !ok || !condition.MatchString(qualified(imported, list.Elt)) {
		return nil
	}
	var found []*ast.CompositeLit
	for _, e := range n.Elts {
		if lit, ok := e.(*ast.CompositeLit); ok && lit.Type == nil {
			found = append(found, lit)
		}
	}
	return found
}

// boundMessage reports whether a literal has no message or one of output.Line.
func boundMessage(lit *ast.CompositeLit) bool {
	for _, e := range lit.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false // without keys the message cannot be told
		}
		if key, ok := pair.Key.(*ast.Ident); !ok || key.Name != "Message" {
			continue
		}
		call, ok := pair.Value.(*ast.CallExpr)
		return ok && selected(call.Fun) == "output.Line"
	}
	return true
}

// unread are the sources whose words no operator reads: tests, the lab and the benchmark.
func unread(file string) bool {
	return strings.HasSuffix(file, "_test.go") || under(file, []string{"lab", "bench", "cmd/joinery-lab"})
}

func TestOutputIsTheOneWay(t *testing.T) {
	checked := 0
	for _, f := range sources(t) {
		if unread(f) {
			continue
		}
		checked++
		for _, r := range raw(t, f, nil) {
			t.Error(r)
		}
	}
	if checked < 200 {
		t.Errorf("only %d files checked", checked)
	}
}

// Each place does what the rule keeps for it: else the rule would hold for nothing.
func TestOutputIsMadeInItsPlaces(t *testing.T) {
	for place, wants := range map[string][2]string{
		"internal/output/output.go":     {"slog", "New"},
		"controlplane/events/events.go": {"record", "NewBroadcaster"},
	} {
		if !calls(t, place, wants[0], wants[1]) {
			t.Errorf("%s does not call %s.%s", place, wants[0], wants[1])
		}
	}
	for _, f := range []string{"cmd/joinery-controller/main.go", "cmd/joinery-agent/main.go"} {
		if !calls(t, f, "output", "NewLogger") {
			t.Errorf("%s makes no logger by output.NewLogger", f)
		}
	}
}

func TestOutputRuleFindsOtherWays(t *testing.T) {
	const imports = `package x
import (
	"log"
	"log/slog"
	other "log/slog"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"github.com/joinery/joinery/internal/output"
)
`
	for code, use := range map[string]string{
		`var l = slog.New(h)`:                                              "output.NewLogger",
		`var l = other.NewTextHandler(w, nil)`:                             "output.NewLogger",
		`func f() { slog.Info("a") }`:                                      "passed in",
		`func f() { slog.ErrorContext(ctx, "a") }`:                         "passed in",
		`func f() { log.Printf("a") }`:                                     "passed in",
		`func f() { klog.Errorf("a") }`:                                    "passed in",
		`var b = record.NewBroadcaster()`:                                  "events.Start",
		`var s = &typed.EventSinkImpl{}`:                                   "events.Start",
		`var e = corev1.Event{Message: text}`:                              "passed in",
		`var c = corev1.NodeCondition{Message: text}`:                      "output.Line",
		`var c = metav1.Condition{Type: "a", Message: fmt.Sprint(text)}`:   "output.Line",
		`var c = []metav1.Condition{{Type: "a"}, {Message: text}}`:         "output.Line",
		`var c = &corev1.PodCondition{"a", "b", now, now, "reason", text}`: "output.Line",
	} {
		got := raw(t, "x/x.go", imports+code)
		if len(got) != 1 || !strings.Contains(got[0], use) {
			t.Errorf("%s\ngot %q, want the advice %s", code, got, use)
		}
	}
	for _, code := range []string{
		`func f(l *slog.Logger, v slog.Value) { l.Info("a", slog.String("b", "c")) }`,
		`func f(r record.EventRecorder) { klog.SetSlogLogger(l) }`,
		`var c = corev1.NodeCondition{Type: "a", Message: output.Line(text)}`,
		`var c = corev1.NodeCondition{Type: "a"}`,
		`func f(log logger) { log.Info("a") }`,
	} {
		if got := raw(t, "x/x.go", strings.Replace(imports, `	"log"`+"\n", "", 1)+code); len(got) > 0 {
			t.Errorf("%s\ngot %q, want none", code, got)
		}
	}
}
