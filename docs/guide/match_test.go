package guide_test

import (
	"testing"

	"github.com/joinery/joinery/docs/guide"
)

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name, want, got string
		ok              bool
	}{
		{"same", "a b\n", "a b\n", true},
		{"blanks", "a  b\n", "\na b  \n\n", true},
		{"other", "a b\n", "a c\n", false},
		{"more", "a\n", "a\nb\n", false},
		{"less", "a\nb\n", "a\n", false},
		{"within a line", "node … Ready\n", "node ip-10-0-0-1 Ready\n", true},
		{"not over lines", "node … Ready\n", "node\nReady\n", false},
		{"end of a line", "took …\n", "took 3 s\n", true},
		{"not the beginning of a line", "ok …\n", "not ok 1\n", false},
		{"lines", "a\n…\nz\n", "a\nb\nc\nz\n", true},
		{"no lines", "a\n…\nz\n", "a\nz\n", true},
		{"lines at the end", "a\n…\n", "a\nb\n", true},
		{"no lines at the end", "a\n…\n", "a\n", true},
		{"quoted", "a.b (1)\n", "aXb (1)\n", false},
		{"nothing came", "a\n", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := guide.Match(tt.want, tt.got); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
