package host

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Mounts lists the mount points of this process at or below dir, in the order
// in which they were made.
func Mounts(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return mountsBelow(string(text), dir), nil
}

// Layered reports whether dir, or something below it, is a layer of an overlay that this
// process sees: a machine's disk.
func Layered(dir string) (bool, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, fmt.Errorf("list mounts: %w", err)
	}
	return layeredIn(string(text), dir), nil
}

func layeredIn(mountinfo, dir string) bool {
	for line := range strings.Lines(mountinfo) {
		_, super, found := strings.Cut(line, " - overlay ")
		if !found {
			continue
		}
		for path := range strings.FieldsFuncSeq(super, func(r rune) bool { return strings.ContainsRune(" ,:=\n", r) }) {
			if path == dir || strings.HasPrefix(path, dir+"/") {
				return true
			}
		}
	}
	return false
}

func mountsBelow(mountinfo, dir string) []string {
	// proc_pid_mountinfo(5) writes blanks and backslashes of a path in octal.
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var out []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if at := octal.Replace(fields[4]); at == dir || strings.HasPrefix(at, dir+"/") {
			out = append(out, at)
		}
	}
	return out
}

// Unmount detaches every mount at or below dir, the newest first.
func Unmount(dir string) error {
	mounts, err := Mounts(dir)
	if err != nil {
		return err
	}
	slices.Reverse(mounts)
	var errs []error
	for _, at := range mounts {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", at, err))
		}
	}
	return errors.Join(errs...)
}
