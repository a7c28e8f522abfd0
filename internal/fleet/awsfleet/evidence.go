package awsfleet

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

// many is how many ids are asked for by listing the cluster's instances instead.
const many = maxFilterValues

// remember is how long a sighting is kept that nobody asks for.
const remember = 2 * time.Hour

// sighting is what EC2 said about an id or a primary private address.
type sighting struct {
	at time.Time // when EC2 was asked
	// found are the instances that were shown: at most one for an id.
	found []fleet.Instance
	// absent is since when EC2 showed none; zero if it shows one.
	absent time.Time
}

// young reports whether the sighting will do at now. What EC2 does not show yet may
// show in a moment, so such an answer is believed for as long as it has been the
// same one, and for maxAge at most.
func (s sighting) young(now time.Time, maxAge time.Duration) bool {
	if !s.absent.IsZero() {
		maxAge = min(maxAge, max(time.Second, s.at.Sub(s.absent)))
	}
	return now.Sub(s.at) < maxAge
}

// sightings are kept for Reader.Evidence, by id and by address.
type sightings struct {
	now  func() time.Time
	turn chan struct{} // held by who is asking AWS

	mu  sync.Mutex // guards all
	all map[string]sighting
}

func newSightings(now func() time.Time) sightings {
	return sightings{now: now, turn: make(chan struct{}, 1), all: map[string]sighting{}}
}

// shown notes instances that EC2 showed when it was asked at that time.
func (s *sightings) shown(found []fleet.Instance, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range found {
		if have, ok := s.all[i.ID]; !ok || !have.at.After(at) {
			s.all[i.ID] = sighting{at: at, found: []fleet.Instance{i}}
		}
	}
}

// asked notes the complete answer about keys.
func (s *sightings) asked(keys []string, found map[string][]fleet.Instance, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		next := sighting{at: at, found: found[key]}
		if before, ok := s.all[key]; len(next.found) == 0 {
			next.absent = at
			if ok && !before.absent.IsZero() {
				next.absent = before.absent
			}
		}
		s.all[key] = next
	}
	for key, have := range s.all {
		if at.Sub(have.at) > remember {
			delete(s.all, key)
		}
	}
}

func (s *sightings) forget(keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.all, key)
	}
}

// old returns those of keys whose sighting is not young; none if all are. When one
// is not, those that soon will not be are asked for with it: else a cluster's nodes
// would come to be asked for one by one.
func (s *sightings) old(keys []string, maxAge time.Duration) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, due := s.now(), false
	var out []string
	for _, key := range keys {
		have, ok := s.all[key]
		due = due || !ok || !have.young(now, maxAge)
		if !ok || !have.young(now, maxAge/2) {
			out = append(out, key)
		}
	}
	if !due {
		return nil
	}
	return out
}

// Evidence returns what EC2 says about what binding.Judge has to know, from answers
// that are younger than maxAge; with a maxAge of 0 it asks about all of it now. It
// takes one call for 200 instances, or one for 1000 of a larger cluster.
func (r *Reader) Evidence(ctx context.Context, q binding.Questions, maxAge time.Duration) (binding.Evidence, error) {
	addresses := make([]string, 0, len(q.IPs))
	for _, ip := range q.IPs {
		addresses = append(addresses, ip.String())
	}
	if maxAge <= 0 {
		return r.evidenceNow(ctx, q.IDs, addresses)
	}
	select {
	case r.sighted.turn <- struct{}{}:
		defer func() { <-r.sighted.turn }()
	case <-ctx.Done():
		return binding.Evidence{}, ctx.Err()
	}
	ids := r.sighted.old(q.IDs, maxAge)
	if len(ids) > many {
		if _, err := r.Instances(ctx, maxAge/2); err != nil {
			return binding.Evidence{}, err
		}
		ids = r.sighted.old(q.IDs, maxAge)
	}
	if _, err := r.evidenceNow(ctx, ids, r.sighted.old(addresses, maxAge)); err != nil {
		return binding.Evidence{}, err
	}
	return r.sighted.evidence(q.IDs, addresses), nil
}

// evidenceNow asks about ids and addresses.
func (r *Reader) evidenceNow(ctx context.Context, ids, addresses []string) (binding.Evidence, error) {
	e := binding.Evidence{Instances: map[string]fleet.Instance{}, Asked: map[string]bool{}}
	ask := func(filter string, keys []string, key func(fleet.Instance) string) error {
		if len(keys) == 0 {
			return nil
		}
		at := r.o.Now()
		found, err := r.filter(ctx, filter, keys...)
		if err != nil {
			return err
		}
		by := map[string][]fleet.Instance{}
		for _, i := range found {
			by[key(i)] = append(by[key(i)], i)
			e.Instances[i.ID] = i
		}
		for _, k := range keys {
			e.Asked[k] = true
		}
		r.sighted.asked(keys, by, at)
		return nil
	}
	if err := ask("instance-id", ids, func(i fleet.Instance) string { return i.ID }); err != nil {
		return binding.Evidence{}, err
	}
	if err := ask("private-ip-address", addresses, func(i fleet.Instance) string { return canonical(i.PrivateIP) }); err != nil {
		return binding.Evidence{}, err
	}
	return e, nil
}

// canonical writes an address as netip does.
func canonical(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String()
	}
	return text
}

// evidence returns what was sighted of ids and addresses. An instance counts as it
// was seen last, whatever it was asked for by.
func (s *sightings) evidence(ids, addresses []string) binding.Evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := binding.Evidence{Instances: map[string]fleet.Instance{}, Asked: map[string]bool{}}
	for _, key := range slices.Concat(ids, addresses) {
		have, ok := s.all[key]
		if !ok {
			continue
		}
		e.Asked[key] = true
		for _, i := range have.found {
			last, ok := s.all[i.ID]
			if !ok || last.at.Before(have.at) {
				last = have
			}
			for _, i := range last.found {
				e.Instances[i.ID] = i
			}
		}
	}
	return e
}
