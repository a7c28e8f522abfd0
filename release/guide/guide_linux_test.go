package guide_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/joinery/joinery/docs/guide"
	"github.com/joinery/joinery/lab/labtest"
)

// TestGuide follows the operator's guide from three masters without Joinery to the first
// node, to another version of Joinery and back, and from there to a cluster in which
// nothing of Joinery is left.
func TestGuide(t *testing.T) {
	s := open(t, labtest.Kit(t))
	s.follow(pageOf(t, "docs/operate.md"))
	s.nothingLeft()
}

var maintain = flag.Bool("maintain", false, "install, then follow the page on maintenance: another version of Kubernetes, and etcd of the past")

// TestMaintenance follows the guide's installation, and from there the page on upgrading
// Kubernetes and restoring etcd.
func TestMaintenance(t *testing.T) {
	if !*maintain {
		t.Skip("without -maintain: it takes minutes, and programs that nothing else needs")
	}
	m := labtest.Maintenance(t)
	s := open(t, m.Before)
	s.offer(m)
	installation := slices.DeleteFunc(pageOf(t, "docs/operate.md"), func(b guide.Block) bool { return b.Chapter != "Installation" })
	s.follow(append(installation, pageOf(t, "docs/maintain.md")...))
}

// pageOf returns the blocks of a page of this repository.
func pageOf(t *testing.T, name string) []guide.Block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := guide.Parse(name, string(text))
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// follow runs blocks in order. Files that the guide has copied from the first master to
// the others are there after each block.
func (s *scene) follow(blocks []guide.Block) {
	s.t.Helper()
	begin := time.Now()
	follower := guide.Follower{Shells: s.shells(), Ran: func(b guide.Block, place, output string) {
		s.t.Logf("%5.1f s: %s on %s:\n%s%s", time.Since(begin).Seconds(), b.Place(), place, b.Script, output)
		s.must(s.copyBackup())
	}}
	if err := follower.Follow(s.t.Context(), blocks); err != nil {
		s.t.Fatal(err)
	}
}
