package token_test

import (
	"slices"
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
	return token.Options{Schedule: hourly, TTL: 90 * time.Minute, Overlap: 30 * time.Minute, Recheck: 5 * time.Minute}
}

func made(id string, issued time.Time) token.Token {
	return token.Token{ID: id, Text: v1alpha1.Secret(id + ".0123456789abcdef"), UID: "uid-" + id, Issued: issued, Expires: issued.Add(90 * time.Minute)}
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
		{"near its end", 80 * time.Minute, func(*token.State) {}, token.NearEnd},
		{"expired", 3 * time.Hour, func(*token.State) {}, token.NearEnd},
		{"requested", time.Minute, func(s *token.State) { s.Requested = true }, token.OnDemand},
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
	orphan := made("cccccc", start.Add(time.Hour+time.Minute))
	for _, test := range []struct {
		name   string
		at     time.Duration // after current was issued
		tokens []token.Token
		want   []string
	}{
		{"a booting node may hold the previous one", 29 * time.Minute, []token.Token{current, old}, nil},
		{"previous after the overlap", 30 * time.Minute, []token.Token{current, old}, []string{"aaaaaa"}},
		{"published by another, still young", 10 * time.Minute, []token.Token{current, orphan}, nil},
		{"never published, past the overlap", 31 * time.Minute, []token.Token{current, orphan}, []string{"cccccc"}},
		{"all at once, oldest first", 40 * time.Minute, []token.Token{orphan, current, old}, []string{"aaaaaa", "cccccc"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := token.State{Tokens: test.tokens, Published: publish(current), Cluster: facts}
			d := token.Plan(s, current.Issued.Add(test.at), options(t))
			var got []string
			for _, d := range d.Delete {
				got = append(got, d.ID)
			}
			if d.Rotate || !slices.Equal(got, test.want) {
				t.Errorf("deletes %q, rotate %t: expected %q", got, d.Rotate, test.want)
			}
		})
	}
}

func TestPlanSweepsExpiredBeforeOverlap(t *testing.T) {
	o := options(t)
	o.Overlap = 90 * time.Minute
	old, current := made("aaaaaa", start), made("bbbbbb", start.Add(time.Hour))
	s := token.State{Tokens: []token.Token{old, current}, Published: publish(current), Cluster: facts}
	if d := token.Plan(s, old.Expires, o); len(d.Delete) != 1 || d.Delete[0].ID != "aaaaaa" {
		t.Errorf("deletes %v: expected the expired token", d.Delete)
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

func TestPlanReusesWhatAnInterruptedRotationLeft(t *testing.T) {
	old, left := made("aaaaaa", start), made("bbbbbb", start.Add(time.Hour))
	s := token.State{Tokens: []token.Token{old, left}, Published: publish(old), Cluster: facts}
	d := token.Plan(s, left.Issued.Add(time.Minute), options(t))
	if d.Reason != token.Scheduled || d.Reuse == nil || d.Reuse.ID != "bbbbbb" {
		t.Fatalf("got %+v: expected to publish the token that was left", d)
	}
	if d = token.Plan(s, left.Issued.Add(25*time.Minute), options(t)); d.Reuse != nil {
		t.Errorf("reuses a token with %s left", left.Expires.Sub(left.Issued.Add(25*time.Minute)))
	}
	s.Tokens[1].Altered = true
	if d = token.Plan(s, left.Issued, options(t)); d.Reuse != nil {
		t.Error("reuses an altered token")
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
