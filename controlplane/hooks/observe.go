package hooks

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/joinery/joinery/internal/drain"
	"github.com/joinery/joinery/internal/fleet"
)

const (
	// hooksAge is how long a group's hooks are believed.
	hooksAge = 5 * time.Minute
	// doubtedAge is the same while an instance waits and no hook of ours is known
	// that could hold it.
	doubtedAge = 30 * time.Second
	// freshAge is the same, and how long nothing is looked at, while a group that has
	// been known for less than fresh shows no hook of ours. Hooks are made after their
	// group, and AWS shows both some seconds late.
	freshAge, fresh = 20 * time.Second, 2 * time.Minute
)

// cachedHooks are a group's hooks as read at a time.
type cachedHooks struct {
	hookSet
	at    time.Time
	since time.Time // when the group was first seen
}

// incomplete reports whether the answer may be older than the hooks.
func (c cachedHooks) incomplete() bool {
	return (c.launch == nil || c.terminate == nil) && c.at.Sub(c.since) < fresh
}

// pause is hookSet.pause, shorter for an incomplete answer.
func (c cachedHooks) pause() time.Duration {
	if c.incomplete() {
		return min(c.hookSet.pause(), freshAge)
	}
	return c.hookSet.pause()
}

// observe returns the instances that our hooks hold, and how long to rest if
// there are none. What can be read is returned along with an error about what
// cannot.
func (l *Loop) observe(ctx context.Context) (held []Held, pause time.Duration, err error) {
	pause = Rest
	groups, err := l.deps.Finder.Managed(ctx, l.maxAge)
	if err != nil {
		return nil, pause, err
	}
	var failed []error
	now := time.Now()
	hookedGroups := map[string]cachedHooks{}
	for _, g := range groups {
		found, err := l.heldBy(ctx, g, now)
		failed = append(failed, err)
		held = append(held, found...)
		if set, ok := l.hooks[g.Name]; ok {
			hookedGroups[g.Name] = set
			pause = min(pause, set.pause())
		}
	}
	l.hooks = hookedGroups
	if errors.Join(failed...) == nil {
		l.forget(held) // only after a complete look: who was not seen is not gone
	}
	held = l.remember(held, now)
	failed = append(failed, l.describe(ctx, held))
	return held, pause, errors.Join(failed...)
}

// pause is how long the hooks may go unwatched: an instance that begins to wait
// must be seen before its hook's timeout.
func (s hookSet) pause() time.Duration {
	rest := Rest
	for _, h := range []*Hook{s.launch, s.terminate} {
		if h != nil {
			rest = min(rest, hooked, h.Heartbeat/3)
		}
	}
	return rest
}

// heldBy returns the group's instances that our hooks hold, as far as Auto
// Scaling tells.
func (l *Loop) heldBy(ctx context.Context, g fleet.Group, now time.Time) ([]Held, error) {
	members := slices.Clone(g.Members)
	if g.WarmPool != "" {
		pooled, err := l.deps.Finder.Pool(ctx, g.Name, l.maxAge)
		if err != nil {
			return nil, err
		}
		members = slices.Concat(members, pooled)
	}
	slices.SortFunc(members, func(a, b fleet.Member) int { return cmp.Compare(a.ID, b.ID) })
	var held []Held
	for _, m := range members {
		may := phases[m.LifecycleState]
		for _, phase := range may {
			hook, err := l.hookOf(ctx, g.Name, phase, now)
			if err != nil {
				return held, err
			}
			if hook != nil {
				held = append(held, Held{
					Group: g.Name, Hook: *hook, State: m.LifecycleState, Phase: phase, Doubtful: len(may) > 1, InstanceID: m.ID,
					RunningPool: g.RunningPool(),
				})
			}
		}
	}
	_, err := l.hooksOf(ctx, g.Name, now, hooksAge)
	return held, err
}

func (l *Loop) hookOf(ctx context.Context, group string, p Phase, now time.Time) (*Hook, error) {
	set, err := l.hooksOf(ctx, group, now, hooksAge)
	if err != nil || set.of(p) != nil {
		return set.of(p), err
	}
	set, err = l.hooksOf(ctx, group, now, doubtedAge)
	return set.of(p), err
}

func (l *Loop) hooksOf(ctx context.Context, group string, now time.Time, age time.Duration) (hookSet, error) {
	have, ok := l.hooks[group]
	if !ok {
		have.since = now
	}
	if have.incomplete() {
		age = min(age, freshAge)
	}
	if ok && now.Sub(have.at) < age {
		return have.hookSet, nil
	}
	set, err := l.actions.hooks(ctx, group)
	if err != nil {
		return hookSet{}, err
	}
	l.hooks[group] = cachedHooks{set, now, have.since}
	return set, nil
}

func (h Held) key() key { return key{h.Group, h.Hook.Name, h.InstanceID, h.State} }

// remember fills in what this process knows of what is held, and drops what
// was answered already.
func (l *Loop) remember(held []Held, now time.Time) []Held {
	var open []Held
	count := map[string]int{}
	for _, h := range held {
		s, ok := l.seen[h.key()]
		if !ok {
			s = &sight{first: now}
			l.seen[h.key()] = s
		}
		h.First, h.Beat = s.first, s.beat
		if !s.done {
			count[h.Hook.Name]++
			open = append(open, h)
		}
	}
	l.metrics.setWaiting(count)
	return open
}

// forget drops what is no longer held.
func (l *Loop) forget(held []Held) {
	here := map[key]bool{}
	for _, h := range held {
		here[h.key()] = true
	}
	maps.DeleteFunc(l.seen, func(k key, _ *sight) bool { return !here[k] })
}

// describe fills in what EC2 and the API server know, or that they do not say.
func (l *Loop) describe(ctx context.Context, held []Held) error {
	if len(held) == 0 {
		return nil
	}
	var ids []string
	for _, h := range held {
		ids = append(ids, h.InstanceID)
	}
	found, unanswered := l.deps.Finder.ByID(ctx, ids...)
	all, err := l.deps.Store.AllNodes()
	unanswered = errors.Join(unanswered, err)
	standings, err := l.deps.Binding.All(ctx, standingAge)
	unanswered = errors.Join(unanswered, err)
	byID := byInstance(all, standings)
	failed := []error{unanswered}
	for i := range held {
		h := &held[i]
		h.Blind = unanswered
		if at, ok := slices.BinarySearchFunc(found, h.InstanceID, func(i fleet.Instance, id string) int { return cmp.Compare(i.ID, id) }); ok {
			h.Instance = &found[at]
		}
		h.Nodes = byID[h.InstanceID]
		slices.SortFunc(h.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
		if h.Phase == Draining {
			err := l.readPods(ctx, h.Nodes)
			h.Blind = errors.Join(h.Blind, err)
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (l *Loop) readPods(ctx context.Context, nodes []Node) (err error) {
	for i := range nodes {
		if nodes[i].Pods, err = drain.Left(ctx, l.deps.Client, nodes[i].Name); err != nil {
			return err
		}
	}
	return nil
}
