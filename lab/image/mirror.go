package image

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one place that apt on this machine installs from.
type Source struct {
	// URI is the archive's root as apt names it.
	URI string
	// Suite is the release's code name.
	Suite string
	// Components are the archive areas in use, "main" first as a rule.
	Components []string
}

// ErrNoMirror says that apt on this machine has no source for its own release.
var ErrNoMirror = errors.New("apt is configured with no mirror of this machine's release")

// HostMirror returns the source that apt under root ("/" on a live machine) is
// configured with for that machine's own release. The image is made from the
// same release because runc is linked to the host's C library.
func HostMirror(root string) (Source, error) {
	suite, err := codename(filepath.Join(root, "etc/os-release"))
	if err != nil {
		return Source{}, err
	}
	files := []string{filepath.Join(root, "etc/apt/sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob(filepath.Join(root, "etc/apt/sources.list.d", pattern))
		if err != nil {
			return Source{}, fmt.Errorf("list apt sources: %w", err)
		}
		files = append(files, more...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Source{}, fmt.Errorf("read apt sources: %w", err)
		}
		for _, s := range ParseSources(text, strings.HasSuffix(file, ".sources")) {
			if s.Suite != suite || !slices.Contains(s.Components, "main") {
				continue
			}
			return s.resolve(root)
		}
	}
	return Source{}, fmt.Errorf("find mirror of %s: %w", suite, ErrNoMirror)
}

// resolve follows apt's "mirror+file:" method (apt-transport-mirror(1)), which
// debootstrap does not know, to the first archive of its list.
func (s Source) resolve(root string) (Source, error) {
	list, ok := strings.CutPrefix(s.URI, "mirror+file:")
	if !ok {
		return s, nil
	}
	text, err := os.ReadFile(filepath.Join(root, list))
	if err != nil {
		return Source{}, fmt.Errorf("read mirror list: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			s.URI = fields[0]
			return s, nil
		}
	}
	return Source{}, fmt.Errorf("read mirror list %s: %w", list, ErrNoMirror)
}

func codename(osRelease string) (string, error) {
	text, err := os.ReadFile(osRelease)
	if err != nil {
		return "", fmt.Errorf("read release of this machine: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(v, `"'`), nil
		}
	}
	return "", fmt.Errorf("read release of this machine: no VERSION_CODENAME in %s", osRelease)
}

// ParseSources reads the binary ("deb") sources out of an apt source file, in
// its one-line form or, with deb822, in its stanza form (sources.list(5)).
// Lines that are not understood are passed over, as they name no source.
func ParseSources(text []byte, deb822 bool) []Source {
	if deb822 {
		return parseStanzas(text)
	}
	var out []Source
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") { // options such as [signed-by=…]
			_, after, closed := strings.Cut(rest, "]")
			if !closed {
				continue
			}
			rest = after
		}
		if f := strings.Fields(rest); len(f) >= 3 {
			out = append(out, Source{URI: f[0], Suite: f[1], Components: f[2:]})
		}
	}
	return out
}

func parseStanzas(text []byte) []Source {
	var out []Source
	field := map[string][]string{}
	last := ""
	flush := func() {
		if slices.Contains(field["types"], "deb") && !slices.Contains(field["enabled"], "no") {
			for _, uri := range field["uris"] {
				for _, suite := range field["suites"] {
					out = append(out, Source{URI: uri, Suite: suite, Components: field["components"]})
				}
			}
		}
		field, last = map[string][]string{}, ""
	}
	for sc := bufio.NewScanner(bytes.NewReader(text)); sc.Scan(); {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				field[last] = append(field[last], strings.Fields(line)...)
			}
		default:
			key, value, ok := strings.Cut(line, ":")
			if ok {
				last = strings.ToLower(strings.TrimSpace(key))
				field[last] = strings.Fields(value)
			}
		}
	}
	flush()
	return out
}
