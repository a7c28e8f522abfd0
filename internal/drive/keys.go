package drive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/joinery/joinery/internal/quote"
)

// Keys is a service that works on keys, as events name them. It runs until its context
// ends; no error or panic over a key ends it, or delays the other keys.
type Keys[K comparable] struct {
	// Name of the service, for logs and metrics.
	Name string
	// Queue has the keys; Run ends with it shut down.
	Queue *Queue[K]
	// Work handles keys: one, unless Most is set.
	//   - again are those to handle once more, after a pause that grows with each time
	//     in a row. Work may add keys to the queue itself for any other time.
	//   - An error is logged and counted, and changes nothing about that.
	//   - Keys over which it panics are handled one at a time, and then again.
	Work func(ctx context.Context, keys []K) (again []K, err error)
	// Workers work at the same time; 1 if zero.
	Workers int
	// Most is how many keys the one worker handles together; 1 if zero. Gather is how
	// long it waits for further ones after the first.
	Most   int
	Gather time.Duration
	// Timeout bounds one call of Work, so that no connection that hangs keeps a worker.
	Timeout time.Duration
	// Meter gets the outcome of each call of Work; nil for none.
	Meter *Meter
	// Done, if set, is called every minute by a worker that is free. While every
	// worker hangs it is not.
	Done func()
	// Log gets one line for each failure.
	Log *slog.Logger
}

// showEvery is how often a worker shows that keys get to it.
const showEvery = time.Minute

// Run works until ctx ends, and returns its error once the workers have stopped.
func (k Keys[K]) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for range max(1, k.Workers) {
		running.Go(func() { k.work(ctx) })
	}
	// By way of the queue in which keys wait: nothing else shows that they get on.
	for ctx.Err() == nil {
		k.Queue.q.Add(entry[K]{alive: true})
		_, _ = wait(ctx, showEvery, nil)
	}
	k.Queue.q.ShutDown()
	running.Wait()
	return ctx.Err()
}

// work is one worker.
func (k Keys[K]) work(ctx context.Context) {
	for {
		keys, down := k.take(ctx)
		if down {
			return
		}
		k.handle(ctx, keys)
	}
}

// take waits for keys. down says that there will be none.
func (k Keys[K]) take(ctx context.Context) (keys []K, down bool) {
	for len(keys) == 0 || len(keys) < k.Most && k.Queue.q.Len() > 0 {
		e, down := k.Queue.q.Get()
		if down || ctx.Err() != nil {
			return nil, true
		}
		if e.alive {
			k.Queue.q.Done(e)
			if k.Done != nil {
				k.Done()
			}
			continue
		}
		keys = append(keys, e.key)
		if len(keys) > 1 {
			continue
		}
		if _, err := wait(ctx, k.Gather, nil); err != nil {
			return nil, true
		}
	}
	return keys, false
}

// handle works on keys and decides what becomes of each.
func (k Keys[K]) handle(ctx context.Context, keys []K) {
	began := time.Now()
	again, err := k.attempt(ctx, keys)
	if ctx.Err() != nil {
		return // the queue ends, too
	}
	k.Meter.round(k.Name, time.Since(began), err)
	if err != nil {
		k.Log.Error("work failed", "service", k.Name, "keys", shown(keys), "error", err)
	}
	if fault := (*panicError)(nil); errors.As(err, &fault) {
		if len(keys) > 1 {
			for i := range keys {
				k.handle(ctx, keys[i:i+1])
			}
			return
		}
		again = keys
	}
	for _, key := range keys {
		e := entry[K]{key: key}
		k.Queue.q.Done(e)
		if slices.Contains(again, key) {
			k.Queue.q.AddRateLimited(e)
		} else {
			k.Queue.q.Forget(e)
		}
	}
}

// attempt calls Work once.
func (k Keys[K]) attempt(ctx context.Context, keys []K) (again []K, err error) {
	ctx, cancel := bounded(ctx, k.Timeout)
	defer cancel()
	err = safely(func() (err error) {
		again, err = k.Work(ctx, keys)
		return err
	})
	return again, err
}

// shown are keys for a log. Outsiders may have chosen them.
func shown[K any](keys []K) string {
	texts := make([]string, 0, len(keys))
	for _, key := range keys {
		texts = append(texts, fmt.Sprint(key))
	}
	return quote.List(texts)
}
