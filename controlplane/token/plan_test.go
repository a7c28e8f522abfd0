package token_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/token"
)

var (
	start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	facts = bundle.Cluster{Name: "demo", Endpoint: "10.0.0.1:6443", CACert: "ca", KubernetesVersion: "v1.37.2"}
)

func options(t *testing.T) token.Options {
	t.Helper()
	hourly, err := cron.ParseStandard("@hourly")
	if err != nil {
		t.Fatal(err)
	}
	return token.Options{Schedule: hourly, TTL: 3 * time.Hour, Overlap: 30 * time.Minute, Recheck: 5 * time.Minute}
}

func made(id string, issued time.Time) token.Token {
	return token.Token{ID: id, Text: v1alpha1.Secret(id + ".0123456789abcdef"), UID: "uid-" + id, Issued: issued, Expires: issued.Add(3 * time.Hour)}
}

func publish(t token.Token) *v1alpha1.JoinBundle { return facts.Bundle(t.Text, t.Issued, t.Expires) }

func TestPlanReasons(t *testing.T) {
	current := made("aaaaaa", start)
	for _, test := range []struct {
		name   string
		after  time.Duration
		change func(*token.State)
		want   token.Reason
	}{
		{"nothing to do", 30 * time.Minute, func(*token.State) {}, ""},
		{"nothing published", 0, func(s *token.State) { s.Published = nil }, token.Start},
		{"nothing published and no token", 0, func(s *token.State) { s.Published, s.Tokens = nil, nil }, token.Start},
		{"secret deleted", time.Minute, func(s *token.State) { s.Tokens = nil }, token.Missing},
		{"scheduled", time.Hour, func(*token.State) {}, token.Scheduled},
		{"just before the schedule", time.Hour - time.Second, func(*token.State) {}, ""},
		{"a third of its life left", 2 * time.Hour, func(*token.State) {}, token.NearEnd},
		{"expired", 3 * time.Hour, func(*token.State) {}, token.NearEnd},
		{"requested", time.Minute, func(s *token.State) { s.Requests = []string{"r"} }, token.OnDemand},
		{"request met by an earlier leader", time.Minute, func(s *token.State) { s.Requests, s.Tokens[0].Requests = []string{"r"}, []string{"r"} }, ""},
		{"claims to be older", time.Minute, func(s *token.State) { s.Published.IssuedAt = start.Add(-time.Minute) }, token.Disagree},
		{"claims to be newer", time.Minute, func(s *token.State) { s.Published.IssuedAt = start.Add(time.Minute) }, token.Disagree},
		{"claims to be from the future", time.Minute, func(s *token.State) { s.Published.IssuedAt = start.Add(time.Hour) }, token.Ahead},
		{"other secret", time.Minute, func(s *token.State) { s.Tokens[0].Text = "aaaaaa.ffffffffffffffff" }, token.Disagree},
		{"altered secret", time.Minute, func(s *token.State) { s.Tokens[0].Altered = true }, token.Disagree},
		{"other expiry", time.Minute, func(s *token.State) { s.Tokens[0].Expires = start.Add(time.Hour) }, token.Disagree},
		{"other CA", time.Minute, func(s *token.State) { s.Cluster.CACert = "new" }, token.Disagree},
		{"other endpoint", time.Minute, func(s *token.State) { s.Cluster.Endpoint = "10.0.0.2:6443" }, token.Disagree},
		{"upgraded", time.Minute, func(s *token.State) { s.Cluster.KubernetesVersion = "v1.38.0" }, token.Disagree},
		{"unreadable", time.Minute, func(s *token.State) { s.Published, s.Unreadable = nil, "no bundle" }, token.Disagree},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := token.State{Tokens: []token.Token{current}, Published: publish(current), Cluster: facts}
			test.change(&s)
			d := token.Plan(s, start.Add(test.after), options(t))
			if d.Reason != test.want || d.Rotate != (test.want != "") {
				t.Errorf("got %q (%s), rotate %t: expected %q", d.Reason, d.Detail, d.Rotate, test.want)
			}
			if !d.Rotate && !d.Next.After(start.Add(test.after)) {
				t.Errorf("next look at %s is not after now", d.Next)
			}
		})
	}
}

func TestPlanSweep(t *testing.T) {
	old, current := made("aaaaaa", start), made("bbbbbb", start.Add(time.Hour))
	orphan := made("cccccc", start.Add(50*time.Minute)) // made by somebody and never published
	for _, test := range []struct {
		name     string
		at       time.Duration // after current was issued
		modified time.Duration // when it was published
		tokens   []token.Token
		want     []string
	}{
		{"a booting node may hold the previous one", 29 * time.Minute, 0, []token.Token{current, old}, nil},
		{"previous after the overlap", 30 * time.Minute, 0, []token.Token{current, old}, []string{"aaaaaa"}},
		{"read until the current one was published", 39 * time.Minute, 10 * time.Minute, []token.Token{current, old}, nil},
		{"an overlap after that", 40 * time.Minute, 10 * time.Minute, []token.Token{current, old}, []string{"aaaaaa"}},
		{"all at once, oldest first", 40 * time.Minute, 0, []token.Token{orphan, current, old}, []string{"aaaaaa", "cccccc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := token.State{Tokens: test.tokens, Published: publish(current), Modified: current.Issued.Add(test.modified), Cluster: facts}
			d := token.Plan(s, current.Issued.Add(test.at), options(t))
			if got := ids(d.Delete); d.Rotate || !slices.Equal(got, test.want) {
				t.Errorf("deletes %q, rotate %t: expected %q", got, d.Rotate, test.want)
			}
		})
	}
}

func ids(tokens []token.Token) []string {
	var out []string
	for _, t := range tokens {
		out = append(out, t.ID)
	}
	return out
}

func TestPlanSweepsExpiredBeforeOverlap(t *testing.T) {
	o := options(t)
	o.Overlap = 3 * time.Hour
	old, current := made("aaaaaa", start), made("bbbbbb", start.Add(150*time.Minute))
	s := token.State{Tokens: []token.Token{old, current}, Published: publish(current), Cluster: facts}
	if d := token.Plan(s, old.Expires, o); len(d.Delete) != 1 || d.Delete[0].ID != "aaaaaa" {
		t.Errorf("deletes %v: expected the expired token", ids(d.Delete))
	}
}

func TestPlanWakesForTheNextDeletion(t *testing.T) {
	old, current := made("aaaaaa", start), made("bbbbbb", start.Add(time.Hour))
	s := token.State{Tokens: []token.Token{old, current}, Published: publish(current), Cluster: facts}
	now := current.Issued.Add(29 * time.Minute)
	if d := token.Plan(s, now, options(t)); !d.Next.Equal(now.Add(time.Minute)) {
		t.Errorf("next look at %s: expected %s", d.Next, now.Add(time.Minute))
	}
}

// The newest token is published, and another one is made only when it is no good.
func TestPlanPublishesTheNewest(t *testing.T) {
	old, newer := made("aaaaaa", start), made("bbbbbb", start.Add(time.Hour))
	twin := made("cccccc", newer.Issued) // of two leaders in the same second
	for _, test := range []struct {
		name   string
		after  time.Duration // newer was issued
		change func(*token.State)
		want   token.Reason
		reuse  string
	}{
		{"interrupted before it was published", time.Minute, func(*token.State) {}, token.Behind, "bbbbbb"},
		{"an older bundle was written over it", 40 * time.Minute, func(*token.State) {}, token.Behind, "bbbbbb"},
		{"nothing is published", time.Minute, func(s *token.State) { s.Published = nil }, token.Start, "bbbbbb"},
		{"garbage is published", time.Minute, func(s *token.State) { s.Published, s.Unreadable = nil, "garbage" }, token.Disagree, "bbbbbb"},
		{"the older one was revoked", time.Minute, func(s *token.State) { s.Tokens = s.Tokens[1:] }, token.Missing, "bbbbbb"},
		{"the newest was revoked", time.Minute, func(s *token.State) { s.Published, s.Tokens = publish(newer), s.Tokens[:1] }, token.Missing, ""},
		{"the newest was altered", -5 * time.Minute, func(s *token.State) { s.Published = nil; s.Tokens[1].Altered = true }, token.Start, "aaaaaa"},
		{"the published one was altered, an older one lives", time.Minute, func(s *token.State) { s.Published = publish(newer); s.Tokens[1].Altered = true }, token.Disagree, ""},
		{"two of the same second", time.Minute, func(s *token.State) { s.Published, s.Tokens = publish(newer), append(s.Tokens, twin) }, token.Behind, "cccccc"},
		{"and the other way round", time.Minute, func(s *token.State) { s.Published, s.Tokens = publish(twin), append(s.Tokens, twin) }, "", ""},
		{"the newest is due itself", time.Hour, func(s *token.State) { s.Published = nil }, token.Start, ""},
		{"another CA", time.Minute, func(s *token.State) { s.Published, s.Cluster.CACert = publish(newer), "ca2" }, token.Disagree, "bbbbbb"},
		{"made on demand and interrupted", time.Minute, func(s *token.State) { s.Requests, s.Tokens[1].Requests = []string{"r"}, []string{"r"} }, token.Behind, "bbbbbb"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := token.State{Tokens: []token.Token{old, newer}, Published: publish(old), Cluster: facts}
			test.change(&s)
			d := token.Plan(s, newer.Issued.Add(test.after), options(t))
			got := ""
			if d.Reuse != nil {
				got = d.Reuse.ID
			}
			if d.Reason != test.want || got != test.reuse {
				t.Errorf("%q (%s) with %q: expected %q with %q", d.Reason, d.Detail, got, test.want, test.reuse)
			}
		})
	}
}

// A master whose clock was ahead made a token: the next is newer all the same,
// and one from the far future does not block rotation.
func TestPlanWithClocksThatDiffer(t *testing.T) {
	o, now := options(t), start.Add(time.Minute)
	near := made("aaaaaa", now.Add(4*time.Minute))
	s := token.State{Tokens: []token.Token{near}, Published: publish(near), Cluster: facts, Requests: []string{"r"}}
	d := token.Plan(s, now, o)
	if want := near.Issued.Add(time.Second); !d.Issued.Equal(want) || !d.Expires.Equal(now.Add(o.TTL)) {
		t.Errorf("issued %s, expires %s: expected %s and a life that begins now", d.Issued, d.Expires, want)
	}
	far := made("bbbbbb", now.Add(100*24*time.Hour))
	far.Created = now.Add(-29 * time.Minute)
	s = token.State{Tokens: []token.Token{near, far}, Published: publish(far), Cluster: facts}
	if d = token.Plan(s, now, o); d.Reason != token.Ahead || d.Reuse != nil || !d.Issued.Equal(near.Issued.Add(time.Second)) {
		t.Errorf("%q, issued %s, reuses %v", d.Reason, d.Issued, d.Reuse)
	}
	next := made("cccccc", d.Issued)
	s = token.State{Tokens: []token.Token{near, far, next}, Published: publish(next), Cluster: facts, Modified: now}
	if d = token.Plan(s, now, o); d.Rotate || len(d.Delete) != 0 {
		t.Errorf("%q, deletes %v", d.Reason, ids(d.Delete))
	}
	if d = token.Plan(s, now.Add(time.Minute), o); !slices.Equal(ids(d.Delete), []string{"bbbbbb"}) {
		t.Errorf("deletes %v: expected the one from the future", ids(d.Delete))
	}
}

func TestPlanJitterIsSpreadAndRepeatable(t *testing.T) {
	o := options(t)
	o.Jitter = 5 * time.Minute
	seen := map[time.Time]bool{}
	for _, name := range []string{"demo", "prod", "test", "eu"} {
		current := made("aaaaaa", start)
		s := token.State{Tokens: []token.Token{current}, Published: publish(current), Cluster: facts}
		s.Cluster.Name = name
		d := token.Plan(s, start.Add(58*time.Minute), o)
		if again := token.Plan(s, start.Add(58*time.Minute), o); !again.Next.Equal(d.Next) {
			t.Errorf("%s: %s and then %s", name, d.Next, again.Next)
		}
		at := start.Add(time.Hour)
		for !token.Plan(s, at, o).Rotate {
			at = at.Add(time.Second)
		}
		if late := at.Sub(start.Add(time.Hour)); late > o.Jitter {
			t.Errorf("%s: %s late", name, late)
		}
		seen[at] = true
	}
	if len(seen) < 3 {
		t.Errorf("four clusters rotate at %v", seen)
	}
}

// Between two rotations that are far apart a token is replaced, not published
// again, once a third of its life is left.
func TestPlanReplacesWhatIsNearItsEnd(t *testing.T) {
	o := options(t)
	var err error
	if o.Schedule, err = cron.ParseStandard("0 0 * * *"); err != nil {
		t.Fatal(err)
	}
	current := made("aaaaaa", start)
	s := token.State{Tokens: []token.Token{current}, Published: publish(current), Cluster: facts}
	if d := token.Plan(s, start.Add(2*time.Hour-time.Second), o); d.Rotate || !d.Next.Equal(start.Add(2*time.Hour)) {
		t.Errorf("rotates: %t (%s), next look at %s", d.Rotate, d.Reason, d.Next)
	}
	if d := token.Plan(s, start.Add(2*time.Hour), o); d.Reason != token.NearEnd || d.Reuse != nil {
		t.Errorf("%q, reuses %v", d.Reason, d.Reuse)
	}
}

// However short the TTL, a fresh token satisfies its own plan.
func TestPlanDoesNotSpin(t *testing.T) {
	o := options(t)
	for _, o.TTL = range []time.Duration{2 * v1alpha1.MinBundleLife, 20 * time.Minute, 24 * time.Hour} {
		fresh := made("aaaaaa", start)
		fresh.Expires = start.Add(o.TTL)
		s := token.State{Tokens: []token.Token{fresh}, Published: publish(fresh), Cluster: facts}
		if d := token.Plan(s, start.Add(time.Second), o); d.Rotate {
			t.Errorf("TTL %s: a fresh token is rotated: %s", o.TTL, d.Reason)
		}
	}
}

// Whatever is found, what a plan asks for is done once: carried out, the next
// plan asks for nothing, and publishes nothing older than before.
func TestPlanSettlesFromAnyState(t *testing.T) {
	o := options(t)
	o.Jitter = 5 * time.Minute
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		now := start.Add(time.Duration(r.IntN(7200)) * time.Second)
		s := randomState(r, now)
		before := s.Published
		d := token.Plan(s, now, o)
		if !d.Rotate {
			continue
		}
		next := made("zzzzzz", d.Issued)
		next.Expires, next.Requests = d.Expires, d.Requests
		if d.Reuse != nil {
			next = *d.Reuse
		} else {
			s.Tokens = append(s.Tokens, next)
		}
		s.Published, s.Unreadable, s.Modified = publish(next), "", now
		if again := token.Plan(s, now, o); again.Rotate {
			t.Fatalf("seed %d: %s (%s), then %s (%s)", seed, d.Reason, d.Detail, again.Reason, again.Detail)
		} else if slices.Contains(ids(again.Delete), next.ID) {
			t.Fatalf("seed %d: deletes what is published", seed)
		}
		if before != nil && !before.IssuedAt.After(now.Add(10*time.Minute)) && next.Issued.Before(before.IssuedAt) {
			t.Fatalf("seed %d: %s: published %s after %s", seed, d.Reason, next.Issued, before.IssuedAt)
		}
	}
}

func randomState(r *rand.Rand, now time.Time) token.State {
	s := token.State{Cluster: facts, Modified: now.Add(-time.Duration(r.IntN(3600)) * time.Second)}
	for i := range r.IntN(5) {
		x := made(strings.Repeat(string(rune('a'+i)), 6), now.Add(time.Duration(r.IntN(9000)-8400)*time.Second))
		x.Created, x.Altered = x.Issued, r.IntN(6) == 0
		if r.IntN(8) == 0 {
			x.Issued = now.Add(time.Duration(r.IntN(7200)) * time.Second)
		}
		if r.IntN(8) == 0 {
			x.Requests = []string{"r"}
		}
		s.Tokens = append(s.Tokens, x)
	}
	if len(s.Tokens) > 0 {
		s.Published = publish(s.Tokens[r.IntN(len(s.Tokens))])
		if r.IntN(6) == 0 {
			s.Published.IssuedAt = s.Published.IssuedAt.Add(time.Duration(r.IntN(3600)-1800) * time.Second)
		}
		if r.IntN(6) == 0 {
			s.Published.Token = "ffffff.ffffffffffffffff"
		}
	}
	switch r.IntN(8) {
	case 0:
		s.Published = nil
	case 1:
		s.Published, s.Unreadable = nil, "garbage"
	case 2:
		s.Requests = []string{"r"}
	}
	return s
}
