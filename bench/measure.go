package main

import (
	"runtime"
	"runtime/metrics"
	"slices"
	"time"
)

// sample is what one run took.
type sample struct {
	seconds float64
	allocs  uint64
}

// measured runs f after what earlier runs left has been collected.
func measured(f func()) sample {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	seconds := time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	return sample{seconds: seconds, allocs: after.Mallocs - before.Mallocs}
}

// peakInterval is how often the heap is looked at.
const peakInterval = 5 * time.Millisecond

// peakHeap runs f and gives the most that the heap grew meanwhile, in bytes, as
// often as it was looked at.
func peakHeap(f func()) int64 {
	runtime.GC()
	before := heap()
	stop, peak := make(chan struct{}), make(chan int64)
	go watchHeap(stop, peak)
	f()
	close(stop)
	return max(0, <-peak-before)
}

func watchHeap(stop <-chan struct{}, peak chan<- int64) {
	tick := time.NewTicker(peakInterval)
	defer tick.Stop()
	most := heap()
	for {
		select {
		case <-tick.C:
			most = max(most, heap())
		case <-stop:
			peak <- max(most, heap())
			return
		}
	}
}

// heap is how many bytes objects take that have not been swept.
func heap() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

func seconds(samples []sample) []float64 {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = s.seconds
	}
	return out
}

// median is the middle of the values, 0 when there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
