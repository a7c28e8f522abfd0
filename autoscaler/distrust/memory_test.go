package distrust_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/joinery/joinery/autoscaler/distrust"
)

var start = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return start.Add(d) }

// refusedFor runs rounds every ten seconds in which the class fits and is refused.
func refusedFor(m *distrust.Memory, d time.Duration) (now time.Time) {
	for now = start; now.Sub(start) <= d; now = now.Add(10 * time.Second) {
		m.Note(now, []distrust.Sighting{{Class: "c", Refused: start, Fits: true}})
	}
	return now
}

func TestNodes(t *testing.T) {
	old := at(-time.Hour)
	tests := []struct {
		name string
		wait time.Duration
		node distrust.Node
		want bool
	}{
		{"unchanged since the scheduler refused", time.Minute, distrust.Node{Created: old, Changed: old, PodsChanged: old}, true},
		{"too early to tell", 20 * time.Second, distrust.Node{Created: old, Changed: old, PodsChanged: old}, false},
		{"changed since", time.Minute, distrust.Node{Created: old, Changed: at(time.Second), PodsChanged: old}, false},
		{"its pods changed since", time.Minute, distrust.Node{Created: old, Changed: old, PodsChanged: at(time.Second)}, false},
		{"changed since, but the scheduler has looked again", 7 * time.Minute, distrust.Node{Created: old, Changed: at(time.Second), PodsChanged: old}, true},
		{"its pods never rest", 16 * time.Minute, distrust.Node{Created: old, Changed: old, PodsChanged: at(16 * time.Minute)}, true},
		{"it changes for itself all the time", 16 * time.Minute, distrust.Node{Created: old, Changed: at(16 * time.Minute), PodsChanged: old}, false},
		{"it came after the doubt began", time.Hour, distrust.Node{Created: at(time.Minute), Changed: at(time.Minute), PodsChanged: old}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &distrust.Memory{}
			now := refusedFor(m, tt.wait)
			tt.node.Name = "node-1"
			got := len(m.Distrusted(now, []distrust.Node{tt.node})["c"]) == 1
			if got != tt.want {
				t.Errorf("distrusted: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestARoundWithoutAPlaceBeginsAnew(t *testing.T) {
	m := &distrust.Memory{}
	for i, fits := range []bool{true, true, false, true, true} {
		if begun := m.Note(at(time.Duration(i)*time.Minute), []distrust.Sighting{{Class: "c", Refused: start, Fits: fits}}); begun != nil {
			t.Fatalf("round %d began a doubt", i)
		}
	}
	if begun := m.Note(at(5*time.Minute), []distrust.Sighting{{Class: "c", Refused: start, Fits: true}}); !slices.Equal(begun, []string{"c"}) {
		t.Errorf("the third round in a row began %v", begun)
	}
}

// Whatever happens, no node is distrusted that came after its class was first doubted
// in one go, so that what is bought for the doubt is never bought again.
func TestNothingIsBoughtTwice(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		m, now, began := &distrust.Memory{}, start, time.Time{}
		var nodes []distrust.Node
		for round := range 200 {
			now = now.Add(time.Duration(r.IntN(90)) * time.Second)
			if r.IntN(10) == 0 {
				nodes = append(nodes, distrust.Node{Name: fmt.Sprint(round), Created: now, Changed: now, PodsChanged: now})
			}
			for i := range nodes {
				if r.IntN(20) == 0 {
					nodes[i].PodsChanged = now
				}
			}
			if m.Note(now, []distrust.Sighting{{Class: "c", Refused: now.Add(-time.Duration(r.IntN(600)) * time.Second), Fits: r.IntN(8) > 0}}) != nil {
				if !began.IsZero() {
					t.Fatalf("seed %d: the doubt began twice", seed)
				}
				began = now
			}
			for _, name := range m.Distrusted(now, nodes)["c"] {
				i := slices.IndexFunc(nodes, func(n distrust.Node) bool { return n.Name == name })
				if !nodes[i].Created.Before(began) {
					t.Fatalf("seed %d: a node that came at %v is distrusted by a doubt of %v", seed, nodes[i].Created, began)
				}
			}
		}
		if began.IsZero() {
			t.Fatalf("seed %d: nothing was doubted", seed)
		}
	}
}
