package binding_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

// recordedWorld is a world where some Nodes were adopted, as they are or as they were.
type recordedWorld struct {
	truth   map[string]fleet.Instance // what EC2 shows
	nodes   []binding.Node
	records binding.Records
}

func drawRecordedWorld(r *rand.Rand) recordedWorld {
	w := recordedWorld{truth: drawInstances(r, ""), records: binding.Records{}}
	for n := 1; n <= 8; n++ {
		x := node(n)
		x.ControlPlane = r.IntN(8) == 0
		switch r.IntN(5) {
		case 0:
			x.ProviderID = []string{provider(1 + r.IntN(8)), "", "aws://us-west-2a/" + id(1+r.IntN(6)), "gce://x"}[r.IntN(4)]
		case 1:
			x.Name = fmt.Sprintf("custom-%d", n)
			x.ProviderID = []string{provider(1 + r.IntN(8)), ""}[r.IntN(2)]
		}
		w.nodes = append(w.nodes, x)
		if r.IntN(3) > 0 {
			continue
		}
		rec := binding.Record{UID: x.UID, ProviderID: x.ProviderID}
		switch r.IntN(4) {
		case 0:
			rec.UID = "earlier"
		case 1:
			rec.ProviderID = []string{provider(1 + r.IntN(8)), ""}[r.IntN(2)]
		}
		_, shown := w.truth[rec.Instance()]
		rec.InEC2 = shown || rec.Instance() != "" && r.IntN(2) == 0
		w.records[x.Name] = rec
	}
	return w
}

// claimed is the instance of the Node's provider id; empty for none.
func claimed(n binding.Node) string {
	_, id, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(n.ProviderID, "aws:///"), "aws://"), "/")
	return id
}

func numberOf(i fleet.Instance) (n int) {
	if _, err := fmt.Sscanf(i.ID, "i-%x", &n); err != nil {
		panic(err)
	}
	return n
}

// named reports whether the Node's name is of the form of an instance's.
func named(name string) bool { return strings.HasPrefix(name, "ip-") }

// adopts reports whether the operator's record is about the Node as it is.
func (w recordedWorld) adopts(n binding.Node) bool {
	rec, ok := w.records[n.Name]
	return ok && rec.UID == n.UID && rec.ProviderID == n.ProviderID
}

// adoptedElsewhere reports whether another Node, adopted, is the instance by its record.
func (w recordedWorld) adoptedElsewhere(self binding.Node, instance string) bool {
	for _, n := range w.nodes {
		if n.Name != self.Name && w.adopts(n) && w.records[n.Name].Instance() == instance {
			return true
		}
	}
	return false
}

// TestRecordsAndLies holds what is judged of adopted Nodes, and of those beside them,
// against statements that share no code with the package.
func TestRecordsAndLies(t *testing.T) {
	for seed := range uint64(30_000) {
		w := drawRecordedWorld(rand.New(rand.NewPCG(seed, 10)))
		var found []fleet.Instance
		for _, i := range w.truth {
			found = append(found, i)
		}
		got := binding.Judge(w.nodes, binding.Of(found), w.records, rules)
		owner := map[string]string{}
		for _, n := range w.nodes {
			v := got[n.Name]
			fail := func(why string) {
				t.Helper()
				t.Fatalf("seed %d: node %+v, record %+v, instance %+v: %s: %s", seed, n, w.records[n.Name], w.truth[v.InstanceID], v.Standing, why)
			}
			if v.Counts() && v.InstanceID != "" {
				if owner[v.InstanceID] != "" {
					fail("so is " + owner[v.InstanceID])
				}
				owner[v.InstanceID] = n.Name
			}
			rec := w.records[n.Name]
			i, exists := w.truth[rec.Instance()]
			switch {
			case v.Standing == binding.Adopted && !w.adopts(n):
				fail("the record is about another")
			case v.Standing == binding.Adopted && rec.InEC2 && (!exists || i.State != "running"):
				fail("its instance is gone")
			case w.adopts(n) && (v.Standing == binding.Bound || v.Standing == binding.Impostor):
				fail("an operator said what it is")
			case v.Proven && n.ControlPlane:
				fail("no control-plane node is removed on a suspicion")
			case v.Proven && w.adopts(n):
				fail("no adopted Node is removed")
			}
			mine, alive := w.truth[claimed(n)]
			if !alive || mine.State != "running" {
				continue
			}
			honest := reflect.DeepEqual(mine, instance(numberOf(mine))) && n.Name == name(numberOf(mine)) && !w.adopts(n)
			switch {
			case honest && v.Proven:
				fail("an honest node is taken for a proven liar")
			case honest && v.Standing != binding.Bound && !w.adoptedElsewhere(n, mine.ID):
				fail("an honest node is not bound")
			}
			_, recorded := w.records[n.Name]
			if !recorded && !n.ControlPlane && named(n.Name) && n.Name != name(numberOf(mine)) && !v.Proven {
				fail("EC2 says that its name is another instance's")
			}
		}
	}
}
