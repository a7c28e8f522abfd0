// Package cache keeps track of the lab's cache. An entry is a directory or a file with
// its lock file beside it, NAME.lock; NAME.partial is one that is being made, or was when
// its maker was killed. The lock file's time says when the entry was last used.
package cache

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/joinery/joinery/lab/host"
)

const (
	lockSuffix    = ".lock"
	partialSuffix = ".partial"
)

// Use takes the lock of the entry at path, which need not be there yet, and marks it as
// used now. Everyone who makes an entry or is about to read one calls it: what is looked
// for under the lock stays. The returned function releases the lock.
func Use(ctx context.Context, path string) (unlock func(), err error) {
	unlock, err = host.Lock(ctx, path+lockSuffix)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if err := os.Chtimes(path+lockSuffix, now, now); err != nil {
		unlock()
		return nil, fmt.Errorf("mark %s as used: %w", path, err)
	}
	return unlock, nil
}
