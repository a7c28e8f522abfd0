package joinery_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// driven are the sources whose services run in internal/drive, which alone has loops
// that wait for time to pass.
var driven = []string{"controlplane", "autoscaler", "cmd/joinery-controller"}

// ownLoops are the functions that may wait in a loop of their own, and why. None is a
// service of the leader.
var ownLoops = map[string]string{
	"controlplane/leader/leader.go keep":      "runs services, which run in the driver, again after they ended",
	"controlplane/health/health.go Run":       "looks for the probes, which are on every master and judge the services",
	"controlplane/rotation/desk.go rotate":    "tries one operator's request again, within a round",
	"controlplane/rotation/rotation.go Await": "waits in the operator's command for the controller's answer",
	"autoscaler/act/delay.go awaitDelays":     "waits within one removal until others have cleaned up after the node",
	"autoscaler/asg/writes.go Raise":          "tries one write a few times, within a round",
	"autoscaler/asg/settling.go settled":      "looks a few times, within one write, until an answer is young enough",
	"autoscaler/asg/settling.go seenGone":     "looks a few times, within one write whose answer was lost",
	"autoscaler/asg/settling.go seenRaised":   "the same",
	"controlplane/bundle/parameter.go read":   "looks again, within one read, until what was put is shown",
	"controlplane/release/steps.go settle":    "a command waits once, until a group stays released",
	"controlplane/uninstall/lease.go unled":   "a command waits once, for a Lease to run out",
}

// timers are what a loop of one's own is made of; pauses only where they are in a loop.
var (
	timers = []string{"time.NewTicker", "time.NewTimer", "time.Tick"}
	pauses = []string{"time.After", "time.Sleep", "wait.For"}
	// queues are packages that a service works on keys or polls with.
	queues = []string{"k8s.io/client-go/util/workqueue", "k8s.io/apimachinery/pkg/util/wait"}
)

// loops returns where a file drives itself, as the function or the package by which it
// does.
func loops(t *testing.T, file string, source any) (found []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range tree.Imports {
		if path := strings.Trim(i.Path.Value, `"`); slices.Contains(queues, path) {
			found = append(found, file+" import of "+path)
		}
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Body != nil && waitsInLoop(f.Body, false) {
			found = append(found, file+" "+f.Name.Name)
		}
	}
	return found
}

// waitsInLoop reports whether code has a timer, or a pause in a loop. inLoop says that
// all of it is in one.
func waitsInLoop(code ast.Node, inLoop bool) (waits bool) {
	ast.Inspect(code, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ForStmt:
			waits = waits || !inLoop && waitsInLoop(n.Body, true)
		case *ast.RangeStmt:
			waits = waits || !inLoop && waitsInLoop(n.Body, true)
		case *ast.SelectorExpr:
			name := selected(n)
			waits = waits || slices.Contains(timers, name) || inLoop && slices.Contains(pauses, name)
		}
		return !waits
	})
	return waits
}

func TestServicesRunInTheDriver(t *testing.T) {
	unused := map[string]bool{}
	for f := range ownLoops {
		unused[f] = true
	}
	for _, f := range sources(t) {
		if !under(f, driven) || strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, loop := range loops(t, f, nil) {
			if delete(unused, loop); ownLoops[loop] == "" {
				t.Errorf("%s: a loop of its own: use drive.Rounds, or drive.Keys for keys that events name", loop)
			}
		}
	}
	for f := range unused {
		t.Errorf("%s has no loop any more: take it from ownLoops", f)
	}
}

// The rule names the loops that were there, and what is none.
func TestTheRuleFindsLoops(t *testing.T) {
	for _, code := range []string{
		`func (l *Listener) Run() { for pause := least; ; { if wait.For(ctx, pause) != nil { return } } }`,
		`func (a *Approver) sweep() { tick := time.NewTicker(every); for { <-tick.C } }`,
		`func (w *waker) next() { timer := time.NewTimer(d); <-timer.C }`,
		`func (r *Rotator) Retire() { for { select { case <-ctx.Done(): case <-time.After(retry): } } }`,
		`func all() { for range 3 { go func() { time.Sleep(d) }() } }`,
		`import "k8s.io/client-go/util/workqueue"`,
	} {
		if got := loops(t, "x/x.go", "package x\n"+code); len(got) != 1 {
			t.Errorf("%s\ngot %q, want one loop", code, got)
		}
	}
	for _, code := range []string{
		`func settle() { if wait.For(ctx, d) != nil { return }; for range 3 { do() } }`,
		`func late() { time.AfterFunc(d, complain) }`,
		`func hangups() { for { select { case <-ctx.Done(): return; case <-c: rotate() } } }`,
	} {
		if got := loops(t, "x/x.go", "package x\n"+code); len(got) != 0 {
			t.Errorf("%s\ngot %q, want none", code, got)
		}
	}
}
