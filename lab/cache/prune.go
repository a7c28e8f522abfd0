package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/joinery/joinery/lab/host"
)

// Kept is how long an entry stays that no one uses.
const Kept = 7 * 24 * time.Hour

// kinds are the directories that hold entries.
var kinds = []string{"bin", "debs", "image"}

// Prune removes the entries below root that were last used before a time, and returns
// their names, sorted. An entry stays whose lock is held, and one that a machine's disk is
// mounted over. So does one without a lock file: no one knows when it was used. Lock
// files stay: another process may wait for one.
func Prune(root string, before time.Time) (removed []string, err error) {
	var errs []error
	for _, kind := range kinds {
		locks, err := filepath.Glob(filepath.Join(root, kind, "*"+lockSuffix))
		if err != nil {
			return nil, fmt.Errorf("list cache: %w", err)
		}
		for _, lock := range locks {
			entry := strings.TrimSuffix(lock, lockSuffix)
			gone, err := pruneEntry(entry, before)
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", entry, err))
			}
			if gone {
				removed = append(removed, filepath.Join(kind, filepath.Base(entry)))
			}
		}
	}
	slices.Sort(removed)
	return removed, errors.Join(errs...)
}

// pruneEntry removes one entry, and what a killed maker left of it.
func pruneEntry(entry string, before time.Time) (gone bool, err error) {
	unlock, err := host.TryLock(entry + lockSuffix)
	if errors.Is(err, host.ErrLocked) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	used, err := os.Stat(entry + lockSuffix)
	if err != nil || !used.ModTime().Before(before) {
		return false, err
	}
	for _, path := range []string{entry, entry + partialSuffix} {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if mounted, err := host.Layered(path); mounted || err != nil {
			return gone, err
		}
		// What a killed maker mounted in there is not the cache's.
		if err := host.Unmount(path); err != nil {
			return gone, err
		}
		if err := os.RemoveAll(path); err != nil {
			return gone, err
		}
		gone = true
	}
	return gone, nil
}
