package guide_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/docs/guide"
)

// recorder is a session that notes what it is told to run.
type recorder struct {
	name string
	all  *[]string
	say  func(script string) (string, error)
}

func (r recorder) Run(_ context.Context, script string) (string, error) {
	*r.all = append(*r.all, r.name+": "+strings.TrimSpace(script))
	if r.say == nil {
		return "", nil
	}
	return r.say(script)
}

// follower has one session at admin and two at masters.
func follower(ran *[]string, say func(string) (string, error)) guide.Follower {
	return guide.Follower{Shells: map[string][]guide.Shell{
		"admin": {recorder{"admin", ran, say}}, "masters": {recorder{"first", ran, say}, recorder{"second", ran, say}},
	}}
}

func follow(t *testing.T, text string, say func(string) (string, error)) (ran []string, err error) {
	t.Helper()
	blocks, err := guide.Parse("g.md", text)
	if err != nil {
		t.Fatal(err)
	}
	err = follower(&ran, say).Follow(t.Context(), blocks)
	return ran, err
}

func TestFollowRunsInOrder(t *testing.T) {
	ran, err := follow(t, "```sh on=masters\none\n```\n```sh off=no test=a.TestB\ntwo\n```\n```sh on=admin,masters\nthree\n```\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"first: one", "second: one", "admin: three", "first: three", "second: three"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q", ran)
	}
}

func TestFollowKnowsAllPlacesFirst(t *testing.T) {
	ran, err := follow(t, "```sh on=admin\none\n```\n```sh on=moon\ntwo\n```\n", nil)
	if len(ran) > 0 || err == nil || !strings.Contains(err.Error(), "g.md:4: on=moon") {
		t.Errorf("ran %q: %v", ran, err)
	}
}

func TestFollowStops(t *testing.T) {
	const text = "```sh on=admin\none\n```\n```text\nwell\n```\n```sh on=admin\ntwo\n```\n"
	for name, say := range map[string]func(string) (string, error){
		"failure":      func(string) (string, error) { return "well\n", errors.New("exit status 1") },
		"other output": func(string) (string, error) { return "ill\n", nil },
	} {
		t.Run(name, func(t *testing.T) {
			if ran, err := follow(t, text, say); err == nil || !strings.Contains(err.Error(), "g.md:1: on admin: ") || len(ran) != 1 {
				t.Errorf("ran %q: %v", ran, err)
			}
		})
	}
}

// A block with a time is repeated until it prints what is expected, and no longer.
func TestFollowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const text = "```sh on=admin within=1m\nlook\n```\n```text\nReady\n```\n"
		begin := time.Now()
		for late, ok := range map[time.Duration]bool{30 * time.Second: true, 2 * time.Hour: false} {
			ready := time.Now().Add(late)
			say := func(string) (string, error) {
				if time.Now().Before(ready) {
					return "NotReady\n", errors.New("exit status 1")
				}
				return "Ready\n", nil
			}
			if _, err := follow(t, text, say); (err == nil) != ok {
				t.Errorf("ready after %s: %v", late, err)
			}
		}
		if took := time.Since(begin); took < 90*time.Second || took > 92*time.Second {
			t.Errorf("waited %s", took)
		}
	})
}
