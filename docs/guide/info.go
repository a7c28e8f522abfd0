package guide

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// attribute is key=value or key="several words".
var attribute = regexp.MustCompile(`^([a-z]+)=("[^"]*"|[^"\s]+)(?:\s+|$)`)

// testName is the directory of a package and a function in it.
var testName = regexp.MustCompile(`^[a-z][a-z0-9/]*\.Test[A-Za-z0-9]+$`)

// placeName is a place's, as a session of a Follower has it.
var placeName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// describe sets what an info string says and returns what is wrong with it.
func (b *Block) describe(info string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for rest := strings.TrimSpace(info); rest != ""; {
		m := attribute.FindStringSubmatch(rest)
		if m == nil {
			say("%q: expected key=value", rest)
			break
		}
		rest = rest[len(m[0]):]
		if seen[m[1]] {
			say("%s is given twice", m[1])
		}
		seen[m[1]] = true
		if why := b.set(m[1], strings.Trim(m[2], `"`)); why != "" {
			say("%s", why)
		}
	}
	switch {
	case len(b.On) == 0 && b.Off == "":
		say("the block has no place: expected on=… or off=\"why\" test=…")
	case len(b.On) > 0 && b.Off != "":
		say("on and off: expected one of them")
	case b.Off != "" && b.Test == "":
		say("off without test: expected the test that looks at the block instead")
	case b.Off == "" && b.Test != "":
		say("test without off: expected it where the block is not run")
	}
	if idle(b.Script) {
		say("the block has no command")
	}
	return problems
}

// idle reports whether a script holds nothing but blanks and comments.
func idle(script string) bool {
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func (b *Block) set(key, value string) (problem string) {
	switch key {
	case "on":
		b.On = strings.Split(value, ",")
		for _, place := range b.On {
			if !placeName.MatchString(place) {
				return fmt.Sprintf("on=%q: expected places with a comma between, and %q is none", value, place)
			}
		}
	case "off":
		if strings.TrimSpace(value) == "" {
			return fmt.Sprintf("off=%q: expected the reason", value)
		}
		b.Off = value
	case "test":
		if !testName.MatchString(value) {
			return fmt.Sprintf("test=%q: expected directory.TestName", value)
		}
		b.Test = value
	case "within":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return fmt.Sprintf("within=%q: expected a time such as 2m", value)
		}
		b.Within = d
	default:
		return fmt.Sprintf("%s is not known: expected on, within, off or test", key)
	}
	return ""
}
