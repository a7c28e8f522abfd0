package image

import (
	"context"
	"os"

	"github.com/joinery/joinery/lab/cache"
	"github.com/joinery/joinery/lab/progress"
)

// Once has make bring a directory of the cache into being, if it is not there yet, and
// reports that as a step. Of several processes one makes it, and the others wait for
// that. The directory must appear complete: make renames it into place at its end.
func Once(ctx context.Context, report progress.Func, step, dir string, make func() error) error {
	return report.Step(step, func() (bool, error) {
		unlock, err := cache.Use(ctx, dir)
		if err != nil {
			return false, err
		}
		defer unlock()
		if _, err := os.Stat(dir); err == nil {
			return true, nil
		}
		return false, make()
	})
}
