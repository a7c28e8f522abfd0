package bake

import (
	"regexp"
	"strings"

	"github.com/joinery/joinery/internal/quote"
)

// script returns what sh does for an action that needs no upload.
func script(a Action) string {
	switch a := a.(type) {
	case Refresh:
		// Without the old lists a source that no longer answers cannot hide.
		return "rm -rf /var/lib/apt/lists/*\n" + aptGet("update --error-on=any")
	case Install:
		return aptGet("install " + words(a.Packages...))
	case Hold:
		return "apt-mark hold " + words(a.Packages...)
	case Units:
		return units(a)
	case Remove:
		return "rm -rf " + strings.Join(a.Patterns, " ") // patterns of this package: sh expands them
	case Empty:
		return "find " + words(a.Dir) + " -xdev -type f -exec truncate -s 0 {} +"
	case Pull:
		return pull(a.Image)
	case Run:
		return a.Command
	}
	panic("no script for " + a.String()) // an action that a test of this package has not seen
}

// aptGet runs apt-get so that it asks nothing, restarts nothing and accepts nothing
// that is not signed, whatever the machine's own configuration says. It waits for
// the lock, which a timer of the stock machine may hold.
func aptGet(rest string) string {
	return "DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y --no-install-recommends --allow-downgrades --allow-change-held-packages" +
		" -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold -o APT::Get::AllowUnauthenticated=false" +
		" -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowWeakRepositories=false -o Acquire::AllowDowngradeToInsecureRepositories=false " + rest
}

func units(a Units) string {
	lines := []string{"systemctl daemon-reload"}
	if len(a.Mask) > 0 {
		lines = append(lines, "systemctl mask "+words(a.Mask...), settle(a.Mask))
	}
	if len(a.Disable) > 0 {
		lines = append(lines, "systemctl stop "+words(a.Disable...), "systemctl disable "+words(a.Disable...))
	}
	if len(a.Enable) > 0 {
		lines = append(lines, "systemctl enable "+words(a.Enable...))
	}
	return strings.Join(lines, "\n")
}

// settle stops timers and waits for what they have started: to stop dpkg half-way
// breaks packages, and apt-get itself does not wait for the lock of the indexes.
func settle(masked []string) string {
	var timers, services []string
	for _, unit := range masked {
		if name, ok := strings.CutSuffix(unit, ".timer"); ok {
			timers, services = append(timers, unit), append(services, name+".service")
		}
	}
	return "systemctl stop " + words(timers...) + " 2>/dev/null || true\n" + // those that the release has
		"for i in $(seq 600); do\n" +
		"systemctl show --value -p ActiveState " + words(services...) + " | grep -q activating || break\nsleep 1\ndone"
}

// pull gets an image by its digest, which is what makes it the image that was
// ordered, and names it as pods do.
func pull(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	repository := name[:strings.LastIndex(name, ":")]
	pinned := repository + "@" + digest
	return "ctr -n k8s.io images pull " + words(pinned) + "\nctr -n k8s.io images tag --force " + words(pinned, name)
}

// explanations say what an operator can do about what apt complains of. The first
// that matches counts: apt calls a repository unsigned after every bad signature too.
var explanations = []struct {
	seen *regexp.Regexp
	say  string
}{
	{regexp.MustCompile(`(?i)NO_PUBKEY|Missing key|public key is not available`), "a repository is signed by another key than the pinned one: compare key_fingerprint with what the repository's owner publishes"},
	{regexp.MustCompile(`(?i)BADSIG|signatures? (were|was|is) (invalid|not valid|bad)|(invalid|bad) signature|manipulated|Clearsigned file isn`), "a repository's index was altered after it was signed"},
	{regexp.MustCompile(`(?i)EXPKEYSIG|KEYEXPIRED|Release file .* is expired`), "a repository's key or index has expired: fetch the renewed key, or wait for the owner to publish a new index"},
	{regexp.MustCompile(`(?i)is not signed|does not have a Release file`), "a repository is not signed, or is not there: its url and suite must lead to a signed index"},
	{regexp.MustCompile(`(?i)Hash Sum mismatch|unexpected size|Hashes of expected file`), "a file of a repository is not the one that its signed index names: it was altered, or the mirror is incomplete"},
	{regexp.MustCompile(`(?i)Version '.*' for '.*' was not found`), "no repository has the version that was ordered"},
	{regexp.MustCompile(`(?i)Unable to locate package|has no installation candidate`), "no repository has a package that was ordered"},
	{regexp.MustCompile(`\S+ : (Pre)?Depends: .* but .*`), "a package needs another one that no repository and no directory has"},
	{regexp.MustCompile(`(?i)404 +Not Found`), "a repository lacks a file that its index names"},
	{regexp.MustCompile(`(?i)Could not connect|Could not resolve|Connection refused|Temporary failure resolving`), "a repository cannot be reached from the machine"},
}

// complaint is a line in which apt says what is wrong.
var complaint = regexp.MustCompile(`(?m)^(?:E|W|Err|dpkg)[: ].*$`)

// explain returns what is wrong in an operator's words, with apt's own line; empty
// for what is not known.
func explain(output string) string {
	for _, e := range explanations {
		if !e.seen.MatchString(output) {
			continue
		}
		line := e.seen.FindString(output)
		for _, l := range complaint.FindAllString(output, -1) {
			if e.seen.MatchString(l) {
				line = l
				break
			}
		}
		return e.say + " (" + quote.Text(strings.TrimSpace(line)) + ")"
	}
	return ""
}

// last returns what a command complained of at its end, or else the end of what it
// wrote.
func last(output string) string {
	if found := complaint.FindAllString(output, -1); len(found) > 0 {
		return strings.TrimSpace(found[len(found)-1])
	}
	const keep = 250
	output = strings.TrimSpace(output)
	if len(output) > keep {
		output = output[len(output)-keep:]
	}
	return output
}
