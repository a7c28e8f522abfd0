package drive

import (
	"time"

	"k8s.io/client-go/util/workqueue"
)

// Queue holds the keys that a Keys service has to work on. A key is in it once, they
// take turns, and one worker at a time works on a key. It is safe for concurrent use.
type Queue[K comparable] struct {
	q workqueue.TypedRateLimitingInterface[entry[K]]
}

// entry is a key, or the question whether a worker is free.
type entry[K comparable] struct {
	key   K
	alive bool
}

// NewQueue returns an empty queue; retry bounds the pause before a key is worked on
// again.
func NewQueue[K comparable](retry Backoff) *Queue[K] {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[entry[K]](retry.First, retry.Last)
	return &Queue[K]{workqueue.NewTypedRateLimitingQueue(limiter)}
}

// Add has a key worked on when it is its turn. For a key that is being worked on this
// is after that.
func (q *Queue[K]) Add(key K) { q.q.Add(entry[K]{key: key}) }

// AddAfter is Add after a while.
func (q *Queue[K]) AddAfter(key K, d time.Duration) { q.q.AddAfter(entry[K]{key: key}, d) }

// ShutDown ends the queue, which then takes no more keys. Keys.Run does it at its end;
// it is for those who do not get to that.
func (q *Queue[K]) ShutDown() { q.q.ShutDown() }
