package pack

import (
	"fmt"
	"strings"
)

// Version returns what dpkg and rpm are given for a version of a Go module. Both sort
// "~" before the end of a version, so that v0.3.0-rc.1, and the pseudo-version of a
// commit before v0.3.0, come before v0.3.0; and neither takes a "-" within it.
func Version(module string) (string, error) {
	v, ok := strings.CutPrefix(module, "v")
	if !ok {
		return "", fmt.Errorf("version %q: expected one of a Go module, such as v0.3.0", module)
	}
	v, _, _ = strings.Cut(v, "+")
	core, pre, found := strings.Cut(v, "-")
	if !found {
		return core, nil
	}
	return core + "~" + strings.ReplaceAll(pre, "-", "."), nil
}
