package check

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
)

// Finding is a check that an image fails.
type Finding struct {
	// Check is the name of the check, such as machine-id.
	Check string
	// Sentence says what is wrong and what instances would suffer.
	Sentence string
}

// String implements fmt.Stringer.
func (f Finding) String() string { return f.Check + ": " + f.Sentence }

// image is what checks look at.
type image struct {
	Root
	// record is empty while the check of the record fails; checks that need it pass
	// then, so that one fault has one finding.
	record Record
}

// rule is one check. It returns a sentence, empty when the image passes. An error
// means that the file system could not be read.
type rule struct {
	name string
	look func(image) (string, error)
}

func rules() []rule {
	var all []rule
	for _, group := range [][]rule{recordRules(), identityRules(), traceRules(), systemRules(), packageRules(), nodeRules(), programRules()} {
		all = append(all, group...)
	}
	return all
}

// Names returns the names of all checks, in the order in which they are made.
func Names() []string {
	var names []string
	for _, r := range rules() {
		names = append(names, r.name)
	}
	return names
}

// Image makes all checks of an image and returns those that it fails. An error
// means that the file system could not be read; nothing is known then.
func Image(fsys fs.ReadLinkFS) ([]Finding, error) {
	i := image{Root: NewRoot(fsys)}
	text, _, err := i.read(RecordPath)
	if err != nil {
		return nil, fmt.Errorf("check image: %w", err)
	}
	// What cannot be decoded is the finding of the check of the record.
	if record, ok := decode(text); ok {
		i.record = record
	}
	var findings []Finding
	for _, r := range rules() {
		sentence, err := r.look(i)
		if err != nil {
			return nil, fmt.Errorf("check image: %s: %w", r.name, err)
		}
		if sentence != "" {
			findings = append(findings, Finding{Check: r.name, Sentence: sentence})
		}
	}
	return findings, nil
}

func decode(text string) (Record, bool) {
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, false
	}
	return r, r.KubernetesVersion != "" && r.ContainerdVersion != "" && r.Arch != "" && r.PauseImage != ""
}

func recordRules() []rule {
	return []rule{{"record", func(i image) (string, error) {
		text, _, err := i.read(RecordPath)
		if err != nil {
			return "", err
		}
		if _, ok := decode(text); !ok {
			return RecordPath + " does not say which versions the image holds, so no one can tell which images to replace", nil
		}
		return "", nil
	}}}
}

// none wants that nothing matches the patterns.
func none(why string, patterns ...string) func(image) (string, error) {
	return func(i image) (string, error) {
		found, err := i.glob(patterns...)
		if err != nil || len(found) == 0 {
			return "", err
		}
		return "the image holds " + list(found) + ": " + why, nil
	}
}

// lines wants that a file holds each of the lines, whatever else it holds.
func lines(file, why string, want ...string) func(image) (string, error) {
	return func(i image) (string, error) {
		text, _, err := i.read(file)
		if err != nil {
			return "", err
		}
		has := map[string]bool{}
		for line := range strings.Lines(text) {
			has[squeeze(line)] = true
		}
		for _, w := range want {
			if !has[squeeze(w)] {
				return file + " lacks the line " + w + ": " + why, nil
			}
		}
		return "", nil
	}
}

// squeeze drops what a line may differ in without meaning something else.
func squeeze(line string) string {
	line = strings.ReplaceAll(strings.TrimSpace(line), " ", "")
	return strings.ReplaceAll(line, `"`, `'`)
}

// list names the first few of many.
func list(names []string) string {
	const most = 3
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
