package csr

import (
	"context"
	"time"
)

// aliveEvery is how often a worker shows that requests get to it.
const aliveEvery = time.Minute

// showAlive has a worker call Deps.Alive, by way of the queue in which requests
// wait: while every worker hangs, nothing is shown.
func (a *Approver) showAlive(ctx context.Context) {
	if a.alive == nil {
		return
	}
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		a.queue.Add(item{})
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
