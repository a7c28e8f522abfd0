package cluster

import (
	"runtime"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
)

// The first pods make their classes known, so few of them are looked up together;
// then more and more are, to be worth waking other processors.
const firstBlock, lastBlock = 64, 4096

// each calls f for the pods in their order with their classes, counted in as by of;
// without one for a pod that has ended. Reading pods that nobody has touched for a
// while is waiting for memory, so all processors do it, once.
func (cs *classes) each(pods []*corev1.Pod, f func(Pod)) {
	workers := min(runtime.GOMAXPROCS(0), 4)
	encoders := make([]encoder, workers)
	found := make([]Pod, min(len(pods), lastBlock))
	for size := firstBlock; len(pods) > 0; size = min(8*size, lastBlock) {
		block := pods[:min(len(pods), size)]
		pods = pods[len(block):]
		cs.lookUp(block, found, encoders)
		for i, pod := range block {
			p := found[i]
			switch {
			case p.is&ended != 0:
			case p.Class != nil && p.Class.refs > 0:
				// It has not gone with the last of its pods meanwhile.
				p.Class.refs++
			default:
				p.Class = cs.of(pod)
			}
			f(p)
		}
	}
}

// lookUp finds out about the pods, and their classes where they are known, a share
// of the pods on each processor.
func (cs *classes) lookUp(pods []*corev1.Pod, found []Pod, encoders []encoder) {
	if len(pods) <= firstBlock {
		encoders = encoders[:1]
	}
	share := (len(pods) + len(encoders) - 1) / len(encoders)
	var all sync.WaitGroup
	for w := range encoders {
		from, to := min(w*share, len(pods)), min((w+1)*share, len(pods))
		all.Go(func() {
			e := &encoders[w]
			for i := from; i < to; i++ {
				p := Pod{Pod: pods[i], is: factsOf(pods[i])}
				if p.is&ended == 0 {
					e.pod(pods[i], kube.DaemonSetPod(pods[i]))
					p.Class = cs.byKey[string(e.buf)]
				}
				found[i] = p
			}
		})
	}
	all.Wait()
}
