package guide_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/joinery/joinery/docs/guide"
	"github.com/joinery/joinery/lab/labtest"
)

// TestGuide follows the operator's guide from three masters without Joinery to the first
// node, and from there to a cluster in which nothing of Joinery is left.
func TestGuide(t *testing.T) {
	labtest.Require(t)
	name := filepath.Join(root, "docs", "operate.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := guide.Parse("docs/operate.md", string(text))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	begin := time.Now()
	follower := guide.Follower{Shells: s.shells(), Ran: func(b guide.Block, place, output string) {
		t.Logf("%5.1f s: %s on %s:\n%s%s", time.Since(begin).Seconds(), b.Place(), place, b.Script, output)
		if place == "image" {
			s.must(s.takeImage())
		}
	}}
	if err := follower.Follow(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft()
}
