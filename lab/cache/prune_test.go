package cache_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/joinery/joinery/lab/cache"
)

// put makes an entry, or with a suffix a part of one, in a cache.
func put(t *testing.T, root, name string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Join(path, "usr"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// use uses an entry as of a time.
func use(t *testing.T, root, name string, at time.Time) {
	t.Helper()
	path := filepath.Join(root, name)
	unlock, err := cache.Use(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := os.Chtimes(path+".lock", at, at); err != nil {
		t.Fatal(err)
	}
}

func there(root, name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

func TestPrune(t *testing.T) {
	root, now := t.TempDir(), time.Now()
	old, fresh := now.Add(-cache.Kept-time.Hour), now.Add(-cache.Kept+time.Hour)
	for _, name := range []string{"image/node-a", "image/node-b", "image/node-c.partial", "image/node-d", "bin/etcd-a", "debs/0a", "image/no-lock", "npm/old", "image/held"} {
		put(t, root, name)
	}
	for name, at := range map[string]time.Time{
		"image/node-a": old, "image/node-b": fresh, "image/node-c": old, "image/node-d": old, "bin/etcd-a": old, "debs/0a": old,
		"npm/old": old, "image/held": old, "image/nothing": old,
	} {
		use(t, root, name, at)
	}
	use(t, root, "image/node-d", now) // used again
	if err := os.WriteFile(filepath.Join(root, "image/pause-a.tar"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	use(t, root, "image/pause-a.tar", old)
	unlock, err := cache.Use(t.Context(), filepath.Join(root, "image/held"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(root, "image/held.lock"), old, old); err != nil {
		t.Fatal(err)
	}

	removed, err := cache.Prune(root, now.Add(-cache.Kept))
	want := []string{"bin/etcd-a", "debs/0a", "image/node-a", "image/node-c", "image/pause-a.tar"}
	if err != nil || !slices.Equal(removed, want) {
		t.Errorf("removed %q, want %q (%v)", removed, want, err)
	}
	for name, stays := range map[string]bool{
		"image/node-a": false, "image/node-c.partial": false, "image/pause-a.tar": false, "bin/etcd-a": false, "debs/0a": false,
		"image/node-b": true, "image/node-d": true, "image/no-lock": true, "npm/old": true, "image/held": true, "image/node-a.lock": true,
	} {
		if there(root, name) != stays {
			t.Errorf("%s: there: %t, want %t", name, !stays, stays)
		}
	}

	unlock()
	if removed, err := cache.Prune(root, now.Add(-cache.Kept)); err != nil || !slices.Equal(removed, []string{"image/held"}) {
		t.Errorf("after its user: removed %q, %v", removed, err)
	}
	if removed, err := cache.Prune(t.TempDir(), now); err != nil || len(removed) > 0 {
		t.Errorf("of an empty cache: %q, %v", removed, err)
	}
}

// Whoever uses an entry keeps the pruner off it, and makes it new.
func TestUse(t *testing.T) {
	root := t.TempDir()
	put(t, root, "bin/a")
	use(t, root, "bin/a", time.Now().Add(-2*cache.Kept))
	path := filepath.Join(root, "bin/a")
	unlock, err := cache.Use(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.Use(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a second user at once: %v", err)
	}
	unlock()
	if removed, err := cache.Prune(root, time.Now().Add(-cache.Kept)); err != nil || len(removed) > 0 || !there(root, "bin/a") {
		t.Errorf("removed %q, %v", removed, err)
	}
}
