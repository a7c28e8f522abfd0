package soak_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/labtest"
	"github.com/joinery/joinery/lab/machine"
	"github.com/joinery/joinery/lab/soak/plan"
)

// errNobody is a fault that finds nobody to be done to, now.
var errNobody = errors.New("nobody to do it to")

// fault is one kind of what goes wrong.
type fault struct {
	name string
	// start does it and returns what takes it away; nil for what passes by itself.
	start func(*stroke) (lift, error)
}

type lift func(context.Context) error

// stroke is one fault while it is done.
type stroke struct {
	*scene
	step   plan.Step
	ctx    context.Context
	random *rand.Rand
	on     string // whom it is done to

	began, lifted, recovered time.Time
	err                      error
}

// lane plays the steps of one lane. A fault that finds nobody to be done to, or an API
// server that just loses its connections, tries again until half of its time is over.
func (s *scene) lane(ctx context.Context, o *observer, faults []fault, steps []plan.Step) (all []*stroke) {
	for _, step := range steps {
		if !sleep(ctx, step.Begin-s.into(time.Now())) {
			return all
		}
		f := faults[slices.IndexFunc(faults, func(f fault) bool { return f.name == step.Kind })]
		all = append(all, s.play(ctx, o, f, step))
	}
	return all
}

func (s *scene) play(ctx context.Context, o *observer, f fault, step plan.Step) *stroke {
	k := &stroke{scene: s, step: step, ctx: ctx, random: rand.New(rand.NewPCG(step.Seed, 0))}
	s.doingNow(step.Lane, f.name)
	defer s.doingNow(step.Lane, "")
	var undo lift
	for undo, k.err = f.start(k); k.err != nil && s.into(time.Now()) < (step.Begin+step.End)/2; undo, k.err = f.start(k) {
		if undo != nil {
			k.err = errors.Join(k.err, k.undo(undo)) // half of it may be done
		}
		if !sleep(ctx, time.Second) {
			return k
		}
	}
	k.began = time.Now()
	if k.err != nil {
		s.say("%s: not done: %v", f.name, k.err)
	} else {
		s.say("%s: %s", f.name, k.on)
	}
	if undo != nil {
		sleep(ctx, step.Hold)
		k.err = errors.Join(k.err, k.undo(undo))
		s.say("%s: lifted", f.name)
	}
	k.lifted = time.Now()
	k.await(ctx, o)
	return k
}

// undo takes a fault away, also when the storm was ended in the middle of it. The API
// server may be without a leader for some seconds.
func (k *stroke) undo(undo lift) (err error) {
	for range 10 {
		ctx, cancel := context.WithTimeout(labtest.Lasting(k.t), 15*time.Second)
		err = undo(ctx)
		cancel()
		if err == nil {
			return nil
		}
		time.Sleep(3 * time.Second)
	}
	return fmt.Errorf("lift %s: %w", k.step.Kind, err)
}

// await waits until the cluster was seen to be whole after the fault, or its time is over.
func (k *stroke) await(ctx context.Context, o *observer) {
	for k.into(time.Now()) < k.step.End && sleep(ctx, look/2) {
		// What was done is to be seen first: a kubelet is missed after 40 s.
		lacks, at := o.whole()
		if len(lacks) == 0 && at.After(k.lifted) {
			k.recovered = at
			return
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (s *scene) doingNow(lane, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doing[lane] = what; what == "" {
		delete(s.doing, lane)
	}
}

// worker picks a node that works, of one of the groups if any are named, and notes that
// something is done to it. What is kept, or had something done to it before, is not picked.
func (k *stroke) worker(of ...string) (awssim.Instance, *machine.Machine, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []awssim.Instance
	if k.latest == nil || k.latest.API != nil {
		return awssim.Instance{}, nil, errNobody
	}
	for n := range k.latest.Nodes {
		node := &k.latest.Nodes[n]
		id, _ := kube.InstanceOf(node)
		if kube.ControlPlane(node) || !kube.Schedulable(node) || kube.Leaving(node) || k.struck[id] || k.kept[id] != "" {
			continue
		}
		i, err := k.World.Instance(id)
		if err == nil && i.State == awssim.Running && isWorker(i) && (len(of) == 0 || slices.Contains(of, i.Group)) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return awssim.Instance{}, nil, errNobody
	}
	i := all[k.random.IntN(len(all))]
	m, ok := k.Host.Machine(i.ID)
	if !ok || m.State() != machine.Running {
		return awssim.Instance{}, nil, errNobody
	}
	k.struck[i.ID] = true
	k.on = i.ID + " of " + i.Group
	return i, m, nil
}

// spare lets an instance be picked again.
func (s *scene) spare(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.struck, id)
}

// keep notes that an instance must stay, or need not any more when why is empty.
func (s *scene) keep(id, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = maps.Clone(s.kept)
	if s.kept[id] = why; why == "" {
		delete(s.kept, id)
	}
}
