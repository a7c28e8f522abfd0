package binaries

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/joinery/joinery/lab/cache"
)

// place is a directory of the cache for the programs of a component, and the key
// that it is named after.
type place struct{ dir, key string }

func (at place) complete(c component) bool {
	for _, name := range c.names() {
		if _, err := os.Stat(filepath.Join(at.dir, name)); err != nil {
			return false
		}
	}
	return true
}

// use reports whether the place has all of a component, and if so marks it as used.
func (at place) use(ctx context.Context, c component) (bool, error) {
	if !at.complete(c) {
		return false, nil // its builder, who has the lock for minutes, is not waited for
	}
	unlock, err := cache.Use(ctx, at.dir)
	if err != nil {
		return false, err
	}
	defer unlock()
	return at.complete(c), nil
}

// copy puts a document to a place. The module is there: programs were built of it.
func (c component) copy(ctx context.Context, o Options, d document, to place) error {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", d.module)
	cmd.Dir, cmd.Env = filepath.Join(o.Root, c.module), c.env()
	dir, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("find module %s: %w", d.module, err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), d.path))
	if err != nil {
		return fmt.Errorf("copy %s of %s: %w", d.path, d.module, err)
	}
	path := filepath.Join(to.dir, d.name())
	if err := os.WriteFile(path+".partial", text, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", d.name(), err)
	}
	return os.Rename(path+".partial", path)
}
