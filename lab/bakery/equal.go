package bakery

import (
	"bytes"
	"crypto/sha256"
)

// equal reports whether two files have the same content.
func equal(one, two string) (bool, error) {
	var sums [2][]byte
	for i, file := range []string{one, two} {
		h := sha256.New()
		if err := addFile(h, file); err != nil {
			return false, err
		}
		sums[i] = h.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), nil
}
