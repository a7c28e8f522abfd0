package download

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/joinery/joinery/internal/quote"
)

var sum = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)

// IsChecksum reports whether a text is sha256:<hex> or sha512:<hex>, in lower
// case.
func IsChecksum(s string) bool { return sum.MatchString(s) }

// Checksum returns the checksum whose digits are given, and false when they are
// neither a SHA-256 nor a SHA-512 sum.
func Checksum(digits string) (string, bool) {
	kind := map[int]string{2 * sha256.Size: "sha256:", 2 * sha512.Size: "sha512:"}[len(digits)]
	c := kind + strings.ToLower(digits)
	return c, IsChecksum(c)
}

// ParseSums reads the format of sha256sum and sha512sum: base name -> checksum. An
// address and the file beside it agree in that name alone, so it must say which file is
// meant: one name with two sums is refused.
func ParseSums(name, text string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		value, ok := Checksum(fields[0])
		if len(fields) != 2 || !ok {
			return nil, fmt.Errorf("read %s: a line is not a SHA-256 or SHA-512 sum and a file name", name)
		}
		file := path.Base(strings.TrimPrefix(fields[1], "*"))
		if was, ok := sums[file]; ok && was != value {
			return nil, fmt.Errorf("read %s: it has two files %s with different sums: expected one, as files are told by the last part of their name", name, quote.Text(file))
		}
		sums[file] = value
	}
	return sums, nil
}
