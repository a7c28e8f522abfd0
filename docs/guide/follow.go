package guide

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Shell is where blocks run. One Shell is one session: what a block exports, and the
// directory that it changes to, are there for the next one.
type Shell interface {
	// Run runs a script up to the first command that fails, and returns what it printed.
	Run(ctx context.Context, script string) (output string, err error)
}

// Follower runs the blocks of a document.
type Follower struct {
	// Shells are the sessions at each place, in the order in which a block runs there.
	Shells map[string][]Shell
	// Pause is between two attempts of a block with a time; a second when 0.
	Pause time.Duration
	// Ran, if set, is told of each block that ran and what it printed.
	Ran func(b Block, place, output string)
}

// Follow runs all blocks in order up to the first that fails or prints other than what is
// expected. That error names the block. Nothing runs if a block names a place that there
// is not.
func (f Follower) Follow(ctx context.Context, blocks []Block) error {
	var errs []error
	for _, b := range blocks {
		for _, place := range b.On {
			if len(f.Shells[place]) == 0 {
				errs = append(errs, fmt.Errorf("%s: on=%s: there is no such place", b.Place(), place))
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, b := range blocks {
		for _, place := range b.On {
			for _, shell := range f.Shells[place] {
				if err := f.run(ctx, b, place, shell); err != nil {
					return fmt.Errorf("%s: on %s: %w", b.Place(), place, err)
				}
			}
		}
	}
	return nil
}

// run runs a block in one session, again and again if it has a time.
func (f Follower) run(ctx context.Context, b Block, place string, shell Shell) error {
	deadline := time.Now().Add(b.Within)
	for {
		output, err := shell.Run(ctx, b.Script)
		if err != nil {
			err = fmt.Errorf("run\n%s\n%w, after printing\n%s", indent(b.Script), err, indent(output))
		} else if b.Want != "" {
			err = Match(b.Want, output)
		}
		if err == nil {
			if f.Ran != nil {
				f.Ran(b, place, output)
			}
			return nil
		}
		if !time.Now().Before(deadline) {
			return err
		}
		if waiting := f.wait(ctx); waiting != nil {
			return errors.Join(waiting, err)
		}
	}
}

func (f Follower) wait(ctx context.Context) error {
	pause := f.Pause
	if pause == 0 {
		pause = time.Second
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(pause):
		return nil
	}
}
