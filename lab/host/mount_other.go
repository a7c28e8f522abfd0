//go:build !linux

package host

// Mounts lists nothing: the lab mounts things on Linux only.
func Mounts(string) ([]string, error) { return nil, nil }

// Layered finds nothing, for the same reason.
func Layered(string) (bool, error) { return false, nil }

// Unmount has nothing to do: the lab mounts things on Linux only.
func Unmount(string) error { return nil }
