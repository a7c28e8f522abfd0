package cluster

import (
	"runtime"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// lookupBlock is how many pods are looked up before the classes that were not
// known are made: enough to be worth a few goroutines.
const lookupBlock = 1024

// each calls f for the pods in their order with their classes, counted in as by of;
// nil for a pod that has ended. Reading pods that nobody has touched for a while is
// waiting for memory, so all processors do it.
func (cs *classes) each(pods []*corev1.Pod, f func(*corev1.Pod, *Class)) {
	workers := min(runtime.GOMAXPROCS(0), 4)
	encoders := make([]encoder, workers)
	var found [lookupBlock]*Class
	for len(pods) > 0 {
		block := pods[:min(len(pods), lookupBlock)]
		pods = pods[len(block):]
		clear(found[:])
		if len(block) > lookupBlock/4 {
			cs.lookUp(block, found[:], encoders)
		}
		for i, pod := range block {
			switch {
			case Terminal(pod):
				f(pod, nil)
			case found[i] != nil && found[i].refs > 0:
				// It has not gone with the last of its pods meanwhile.
				found[i].refs++
				f(pod, found[i])
			default:
				f(pod, cs.of(pod))
			}
		}
	}
}

// lookUp finds the classes that are known, a share of the pods on each processor.
func (cs *classes) lookUp(pods []*corev1.Pod, found []*Class, encoders []encoder) {
	share := (len(pods) + len(encoders) - 1) / len(encoders)
	var all sync.WaitGroup
	for w := range encoders {
		from, to := min(w*share, len(pods)), min((w+1)*share, len(pods))
		all.Go(func() {
			e := &encoders[w]
			for i := from; i < to; i++ {
				e.pod(pods[i], OwnedByDaemonSet(pods[i]))
				found[i] = cs.byKey[string(e.buf)]
			}
		})
	}
	all.Wait()
}
