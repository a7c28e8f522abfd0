package host

import (
	"path"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/dbus"
)

func isTimer(unit string) bool { return strings.HasSuffix(unit, ".timer") }

// unmasked returns the names of the units that are not masked, sorted. A unit
// file is listed once for each place where it stands, so a masked unit shows
// as masked in one of them.
func unmasked(files []dbus.UnitFile) []string {
	masked := map[string]bool{}
	for _, f := range files {
		name := path.Base(f.Path)
		masked[name] = masked[name] || strings.HasPrefix(f.Type, "masked")
	}
	var names []string
	for name, m := range masked {
		if !m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
