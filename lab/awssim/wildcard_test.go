package awssim

import (
	"strings"
	"testing"
)

func TestWildcard(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"?", "", false}, {"?", "a", true}, {"?", "ab", false},
		{"abc", "abc", true}, {"abc", "abd", false}, {"abc", "ab", false}, {"ab", "abc", false},
		{"a*c", "abbc", true}, {"a*c", "ac", true}, {"a*c", "abcd", false}, {"a*b*c", "a1b2b3c", true}, {"a*b*c", "a1c2b", false},
		{"*a", "ba", true}, {"*a", "ab", false}, {"a**", "a", true}, {"a?*", "a", false}, {"a?*", "abc", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {`a\?`, "ab", false}, {`a\\`, `a\`, true}, {`a\`, `a\`, true}, {`\*`, "", false}, {`*\*x`, "a*x", true}, {`*\*x`, "abx", false},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 200), false}, // in no time at all
	}
	for _, tt := range tests {
		if got := wildcard(tt.pattern, tt.s); got != tt.want {
			t.Errorf("wildcard(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}
