package csr

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/types"
)

// laneKey names a lane: by the node name that token holders claim, or by who asks.
// One of the two is set.
type laneKey struct{ claim, requester string }

// waiting is a request that is not decided, as a lane remembers it.
type waiting struct {
	name, requester string
	uid             types.UID
	created         time.Time
	// due is when it may be judged next; zero for at once.
	due time.Time
	// tries is how often it was held.
	tries int
}

// lane has the requests that compete with each other and with no other: those for
// one instance, or those of one requester.
type lane struct {
	// open: the requests may be judged. That of a claim is open while an instance
	// of that name may be joining.
	open bool
	// since is the launch of that instance: it made no request before.
	since time.Time
	// waiting are the requests, the oldest first.
	waiting []waiting
	// judged and told bound the judgements and the Events; nil until the first.
	judged, told *rate.Limiter
}

// eligible reports whether w can be the instance's own request.
func (l *lane) eligible(w waiting) bool {
	return l.open && !w.created.Before(l.since.Add(-clockSkew))
}

// lanes are all undecided requests. It does no I/O and asks no clock.
type lanes struct {
	mu sync.Mutex
	// perSecond and atOnce bound the judgements in each lane.
	perSecond rate.Limit
	atOnce    int
	all       map[laneKey]*lane
	// where has the lane of each request by its name.
	where map[string]laneKey
	// launches maps the node names of the instances that may be joining to when
	// these were launched.
	launches map[string]time.Time
}

func newLanes(perMinute, atOnce int) *lanes {
	return &lanes{perSecond: rate.Limit(perMinute) / 60, atOnce: atOnce, all: map[laneKey]*lane{}, where: map[string]laneKey{}}
}

// put adds a request, or makes one that is there due as w is, and reports whether its lane
// is open. A requester's lane always is.
func (ls *lanes) put(k laneKey, w waiting) (open bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[k]
	if l == nil {
		l = &lane{}
		l.open, l.since = ls.opens(k)
		ls.all[k] = l
	}
	if _, known := ls.where[w.name]; known {
		if at := l.index(w.name); at >= 0 {
			l.waiting[at].due = w.due
		}
		return l.open
	}
	ls.where[w.name] = k
	// They come in the order of their creation, but for the first list.
	at, _ := slices.BinarySearchFunc(l.waiting, w.created, func(have waiting, t time.Time) int {
		return cmp.Or(have.created.Compare(t), -1) // after those of the same second
	})
	l.waiting = slices.Insert(l.waiting, at, w)
	return l.open
}

// opens reports whether the requests of a lane may be judged, and those since when.
func (ls *lanes) opens(k laneKey) (open bool, since time.Time) {
	if k.claim == "" {
		return true, time.Time{}
	}
	since, open = ls.launches[k.claim]
	return open, since
}

func (l *lane) index(request string) int {
	return slices.IndexFunc(l.waiting, func(w waiting) bool { return w.name == request })
}

// drop forgets a request.
func (ls *lanes) drop(request string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	k, known := ls.where[request]
	if !known {
		return
	}
	delete(ls.where, request)
	l := ls.all[k]
	if at := l.index(request); at >= 0 {
		l.waiting = slices.Delete(l.waiting, at, at+1)
	}
	if len(l.waiting) == 0 && !l.indebted() {
		delete(ls.all, k)
	}
}

// indebted reports whether the lane's budget has to be remembered.
func (l *lane) indebted() bool {
	return l.judged != nil && l.judged.Tokens() < float64(l.judged.Burst())
}

// next takes the request that is to be judged now, and one judgement from the
// lane's budget. It is the newest of those that are due: an instance that waited
// long asks again, and a flood of old requests must not delay it. When there is
// none, pause is how long there will be none unless something changes; zero for as
// long as nothing does.
func (ls *lanes) next(k laneKey, now time.Time) (w waiting, pause time.Duration, ok bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[k]
	if l == nil {
		return waiting{}, 0, false
	}
	var first time.Time
	for _, w := range slices.Backward(l.waiting) {
		if !l.eligible(w) {
			continue
		}
		if !w.due.After(now) {
			if pause := ls.spend(l, now); pause > 0 {
				return waiting{}, pause, false
			}
			return w, 0, true
		}
		if first.IsZero() || w.due.Before(first) {
			first = w.due
		}
	}
	if first.IsZero() {
		return waiting{}, 0, false
	}
	return waiting{}, first.Sub(now), false
}

// spend takes one judgement from the lane's budget and returns how long it has to
// wait for that.
func (ls *lanes) spend(l *lane, now time.Time) time.Duration {
	if l.judged == nil {
		l.judged = rate.NewLimiter(ls.perSecond, ls.atOnce)
	}
	if l.judged.AllowN(now, 1) {
		return 0
	}
	missing := 1 - l.judged.TokensAt(now)
	return time.Duration(missing / float64(ls.perSecond) * float64(time.Second))
}

// holdUntil says when a request is judged again.
func (ls *lanes) holdUntil(request string, due func(tries int) time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[ls.where[request]]
	if l == nil {
		return
	}
	if at := l.index(request); at >= 0 {
		l.waiting[at].due = due(l.waiting[at].tries)
		l.waiting[at].tries++
	}
}

// Bounds on the Events about the requests of one lane.
const (
	toldEvery  = 10 * time.Second
	toldAtOnce = 10
)

// mayTell reports whether one more Event about the lane's requests is worth its
// place.
func (ls *lanes) mayTell(k laneKey, now time.Time) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.all[k]
	if l == nil {
		return true
	}
	if l.told == nil {
		l.told = rate.NewLimiter(rate.Every(toldEvery), toldAtOnce)
	}
	return l.told.AllowN(now, 1)
}

// of returns the lane of a request.
func (ls *lanes) of(request string) laneKey {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.where[request]
}

// reopen opens the lanes of the claims in launches, which maps node names to launch
// times, closes those of all others, and returns the open ones with requests.
func (ls *lanes) reopen(launches map[string]time.Time) []laneKey {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.launches = launches
	var open []laneKey
	for k, l := range ls.all {
		l.open, l.since = ls.opens(k)
		switch {
		case l.open && len(l.waiting) > 0:
			open = append(open, k)
		case len(l.waiting) == 0 && !l.indebted():
			delete(ls.all, k)
		}
	}
	return open
}
