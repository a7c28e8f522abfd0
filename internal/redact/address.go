package redact

import (
	"regexp"
	"strings"
)

var (
	scheme = regexp.MustCompile(`^\s*[A-Za-z][A-Za-z0-9+.-]*://`)
	// user is everything before the last @, escaped or not. A password that nobody
	// escaped may hold any letter, a slash, a question mark and an @ among them.
	user = regexp.MustCompile(`(?is)^.*(?:@|%40)`)
)

// Address returns an address or a path for people to read: without the user and the
// password in it, and without its query and its fragment, where signed addresses have
// their signature. It cuts text, as what is no address at all may hold a password too,
// and it rather cuts too much: a path with an @ loses what is before it.
func Address(s string) string {
	prefix := scheme.FindString(s)
	rest := s[len(prefix):]
	if u := user.FindString(rest); u != "" {
		// The @ is in a password with a question mark, or in a query: who could tell?
		if strings.ContainsAny(u, "?#") {
			return prefix + Mark
		}
		prefix, rest = prefix+Mark+"@", rest[len(u):]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i+1] + Mark
	}
	return prefix + rest
}
