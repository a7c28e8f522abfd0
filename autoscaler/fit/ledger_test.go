package fit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/joinery/joinery/autoscaler/cluster"
	ct "github.com/joinery/joinery/autoscaler/cluster/clustertest"
	"github.com/joinery/joinery/autoscaler/fit"
	"github.com/joinery/joinery/autoscaler/validate"
)

// pendingClasses are the classes of the pods that can be planned for, each once.
func pendingClasses(s *cluster.Snapshot) (classes []*cluster.Class, pods []cluster.Pod) {
	seen := map[*cluster.Class]bool{}
	for _, p := range s.Pending() {
		c := p.Class
		if !seen[c] && c.Unsupported == "" && (c.Volumes == nil || c.Volumes.Refused == "") {
			seen[c] = true
			classes, pods = append(classes, c), append(pods, p)
		}
	}
	return classes, pods
}

func ledger(t *testing.T, in cluster.Input) (*cluster.Snapshot, *fit.Ledger, []*fit.Batch, []cluster.Pod) {
	t.Helper()
	s, err := cluster.New(ct.Honest(in))
	if err != nil {
		t.Fatal(err)
	}
	classes, pods := pendingClasses(s)
	l, err := fit.NewLedger(s, nil, classes)
	if err != nil {
		t.Fatal(err)
	}
	var batches []*fit.Batch
	for _, c := range classes {
		batches = append(batches, l.Batch(c, 1000))
	}
	return s, l, batches, pods
}

// What the ledger answers from counts is what the scheduler's plugins answer, for
// every class on every node of clusters with every kind of constraint.
func TestLedgerAgreesWithTheScheduler(t *testing.T) {
	profile, err := fit.DefaultProfile()
	if err != nil {
		t.Fatal(err)
	}
	yes, no := 0, 0
	for seed := range uint64(60) {
		in := ct.Random(seed)
		_, l, batches, pods := ledger(t, in)
		for i, b := range batches {
			for n := range int32(l.Len()) {
				if !l.Usable(n) {
					continue
				}
				node := l.State(n).Name()
				problems, err := validate.Check(ct.Honest(in), validate.Plan{Placements: []cluster.Placement{{Pod: pods[i].Pod, Node: node}}}, profile, validate.Options{})
				if err != nil {
					t.Fatal(err)
				}
				got := l.Fits(b, n)
				if got != (len(problems) == 0) {
					t.Errorf("seed %d: pod %s on %s: the ledger says %t (%s), the scheduler %v", seed, pods[i].Name, node, got, l.Why(b, n), problems)
				}
				if why := l.Why(b, n); got != (why == nil) {
					t.Errorf("seed %d: pod %s on %s fits: %t, and the reason is %q", seed, pods[i].Name, node, got, why)
				}
				if got {
					yes++
				} else {
					no++
				}
			}
		}
	}
	if yes < 300 || no < 300 {
		t.Errorf("%d pairs fit and %d do not: too few of one kind", yes, no)
	}
}

// view writes down what the ledger answers about every class and node.
func view(l *fit.Ledger, batches []*fit.Batch) string {
	out := ""
	for n := range int32(l.Len()) {
		out += fmt.Sprint(l.State(n).Name(), l.Gone(n), l.Free(n))
		for _, b := range batches {
			out += fmt.Sprint(" ", l.Fits(b, n), l.Why(b, n))
		}
		out += "\n"
	}
	return out
}

// Whatever was tried, Revert brings back what was, in nested trials too.
func TestRevert(t *testing.T) {
	for seed := range uint64(60) {
		s, l, batches, _ := ledger(t, ct.Random(seed))
		if len(batches) == 0 || l.Len() == 0 {
			continue
		}
		r := rand.New(rand.NewPCG(seed, 2))
		var views []string
		for range 3 {
			views = append(views, view(l, batches))
			l.Fork()
			for range 20 {
				trial(r, s, l, batches)
			}
		}
		for i := len(views) - 1; i >= 0; i-- {
			l.Revert()
			if got := view(l, batches); got != views[i] {
				t.Fatalf("seed %d: after reverting trial %d\n%s\nbefore it\n%s", seed, i, got, views[i])
			}
		}
		if l.Forked() != 0 {
			t.Fatalf("seed %d: %d forks are open", seed, l.Forked())
		}
	}
}

func trial(r *rand.Rand, s *cluster.Snapshot, l *fit.Ledger, batches []*fit.Batch) {
	n := int32(r.IntN(l.Len()))
	switch r.IntN(8) {
	case 0:
		if g := s.Groups()[r.IntN(len(s.Groups()))]; g.Template != nil {
			l.OpenNext(g.Name)
		}
	case 1:
		placedThere := false
		l.Placed(func(p fit.Placed) { placedThere = placedThere || p.Node == n })
		if !placedThere && !l.Gone(n) && l.State(n).Kind != cluster.Planned {
			l.Remove(n)
		}
	case 2:
		l.NewFiller(batches).FillAll([]int32{n})
	default:
		l.Place(batches[r.IntN(len(batches))], n)
	}
}

func TestCommitKeeps(t *testing.T) {
	g := ct.Group("workers", 0, 1, 3, "2", "4Gi", "us-west-2a")
	in := cluster.Input{Groups: []cluster.Group{g}}
	in.Pods = append(in.Pods, ct.Pending("p", "500m", "1Gi"))
	_, l, batches, _ := ledger(t, in)
	l.Fork()
	l.Fork()
	if !l.Place(batches[0], 0) {
		t.Fatal("the pod does not fit on an empty node")
	}
	l.Commit()
	if got := l.Free(0)[0]; got != 1500 {
		t.Errorf("after a commit %dm are free, want 1500m", got)
	}
	l.Revert()
	if got := l.Free(0)[0]; got != 2000 {
		t.Errorf("after reverting around the commit %dm are free, want 2000m", got)
	}
}
