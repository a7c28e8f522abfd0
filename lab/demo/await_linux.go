package demo

import (
	"context"
	"fmt"
	"time"
)

// condition looks once: whether it holds, and what was seen, in words that
// explain why not. An error ends the waiting.
type condition func(context.Context) (holds bool, seen string, err error)

// await looks until the condition holds or ctx ends; the error then says what
// was waited for and what was seen last.
func await(ctx context.Context, what string, look condition) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		holds, seen, err := look(ctx)
		if err != nil {
			return fmt.Errorf("wait until %s: %w", what, err)
		}
		if holds {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w: seen last: %s", what, context.Cause(ctx), seen)
		case <-tick.C:
		}
	}
}
