package boot_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/joinery/joinery/agent/boot"
	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
)

// lost returns the state and the machine of a node whose Node was lost.
func lost(reason v1alpha1.LossReason, change func(*boot.Loss)) (*machine, boot.State) {
	s := boot.State{
		InstanceID: firstID, BootID: "this boot", TokenID: "zzzzzz", NodeUID: "uid 0",
		Lost: &boot.Loss{Reason: reason, At: time.Now(), Identity: "key 0"},
	}
	if change != nil {
		change(s.Lost)
	}
	return &machine{joined: true, identity: "key 0"}, s
}

var again = []string{named, "quiet", "leave", "fetch", "configure", "request", "join", "kubelet", "verify", "report"}

func TestLostNodeJoinsAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		reason v1alpha1.LossReason
		change func(*boot.Loss)
		states []imds.LifecycleState
		kept   bool
		want   []string
		least  time.Duration
	}{
		"deleted":  {reason: v1alpha1.NodeDeleted, want: again},
		"replaced": {reason: v1alpha1.NodeReplaced, want: again},
		"refused":  {reason: v1alpha1.CredentialsRefused, want: again},
		"accepted again": {
			reason: v1alpha1.CredentialsRefused, kept: true,
			want: []string{named, "quiet", "kubelet", "verify", "report"},
		},
		"joined since": {
			reason: v1alpha1.NodeDeleted, change: func(l *boot.Loss) { l.Identity = "key before" },
			want: []string{named, "quiet", "kubelet", "verify", "report"},
		},
		"about to be ended": {
			reason: v1alpha1.NodeDeleted, states: append(slices.Repeat([]imds.LifecycleState{"Terminated"}, 300), "InService"),
			want: again, least: 5 * time.Minute,
		},
		"for a warm pool": {
			reason: v1alpha1.NodeDeleted, states: []imds.LifecycleState{"Warmed:Stopped", "Warmed:Stopped", "InService"},
			want: again, least: 2 * time.Second,
		},
		"marked for removal": {
			reason: v1alpha1.NodeDeleted, change: func(l *boot.Loss) { l.Marked = true }, want: again, least: 9 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, state := lost(tc.reason, tc.change)
				m.kept = tc.kept
				s, _ := sequence(work(m, &instance{id: firstID, tag: "demo", states: tc.states}, state).Stages()...)
				began := time.Now()
				if err := s.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(m.trace, tc.want) {
					t.Errorf("did  %v\nwant %v", m.trace, tc.want)
				}
				if took := time.Since(began); took < tc.least || took > tc.least+2*time.Minute {
					t.Errorf("took %s, want %s at least", took, tc.least)
				}
				rejoin := m.saved.Rejoin
				if m.saved.Lost != nil || (rejoin == nil) != tc.kept || rejoin != nil && (rejoin.Reason != tc.reason || rejoin.Times != 1) {
					t.Errorf("saved %+v, rejoin %+v", m.saved, rejoin)
				}
			})
		})
	}
}

// A Node that is found lost while it is looked at leads to a join by itself.
func TestVerifyThatFindsTheNodeLostJoinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{joined: true, identity: "key 0", fail: map[string][]error{"verify": {&join.LostError{Reason: v1alpha1.NodeReplaced}}}}
		state := boot.State{InstanceID: firstID, BootID: "last boot", TokenID: "zzzzzz", NodeUID: "uid 0", Complete: true}
		s, _ := sequence(work(m, &instance{id: firstID, tag: "demo"}, state).Stages()...)
		if err := s.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := append([]string{named, "quiet", "kubelet", "verify"}, again[2:]...)
		if !slices.Equal(m.trace, want) {
			t.Errorf("did  %v\nwant %v", m.trace, want)
		}
		if !slices.Equal(m.seen, []string{"uid 0", ""}) || m.saved.NodeUID != "uid 1" || m.saved.Complete {
			t.Errorf("looked for %q, saved %+v", m.seen, m.saved)
		}
	})
}

// An instance that comes back after its Node was deleted must not let its kubelet
// make one.
func TestKubeletOfALostNodeDoesNotComeUpAtABoot(t *testing.T) {
	for name, tc := range map[string]struct {
		gone   string
		states []imds.LifecycleState
		want   []string
	}{
		"there":   {"", nil, []string{named, "quiet", "kubelet", "verify", "report"}},
		"deleted": {"uid 0", nil, append([]string{"leave"}, again...)},
		"deleted, and in a warm pool": {"uid 0", []imds.LifecycleState{"Warmed:Stopped", "InService", "InService"},
			append([]string{"leave"}, again...)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &machine{joined: true, identity: "key 0", gone: tc.gone}
				state := boot.State{InstanceID: firstID, BootID: "last boot", NodeName: "n", TokenID: "zzzzzz", NodeUID: "uid 0", Complete: true}
				w := work(m, &instance{id: firstID, tag: "demo", states: tc.states}, state)
				w.Ready = func() {
					if tc.gone != "" && !slices.Contains(m.trace, "leave") {
						t.Error("systemd may start the kubelet before it is stopped")
					}
				}
				s, _ := sequence(w.Stages()...)
				if err := s.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(m.trace, tc.want) {
					t.Errorf("did  %v\nwant %v", m.trace, tc.want)
				}
			})
		})
	}
}

// killed is how an agent ends that is killed.
type killed struct{}

// TestRejoinSurvivesKill9 kills the agent before and after each thing that it does
// during a rejoin, and starts another one with what was saved by then.
func TestRejoinSurvivesKill9(t *testing.T) {
	for at := 1; ; at++ {
		dead := false
		synctest.Test(t, func(t *testing.T) { dead = killAt(t, at) })
		if !dead {
			if at < 20 {
				t.Errorf("only %d places to be killed at", at-1)
			}
			return
		}
	}
}

func killAt(t *testing.T, at int) (dead bool) {
	m, state := lost(v1alpha1.NodeDeleted, nil)
	m.saved = state
	left := at
	die := func() {
		if left--; left == 0 {
			panic(killed{})
		}
	}
	m.before, m.after = die, die
	for range 2 {
		func() {
			defer func() {
				if r := recover(); r != nil {
					if _, ours := r.(killed); !ours {
						panic(r)
					}
					dead = true
				}
			}()
			m.made = 0
			w := work(m, &instance{id: firstID, tag: "demo"}, m.saved)
			w.Save = func(s boot.State) error {
				die()
				m.saved = s
				die()
				return nil
			}
			s := &boot.Sequence{Stages: w.Stages(), Supervisor: &listener{}, Random: func() float64 { return 0.5 }, Log: slog.New(slog.DiscardHandler)}
			if err := s.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}()
		if !dead {
			break
		}
	}
	if !m.joined || m.joins < 1 || m.joins > 2 || m.saved.Lost != nil || m.saved.NodeUID != "uid 1" || m.saved.Rejoin == nil || m.saved.Rejoin.Times != 1 {
		t.Errorf("killed at %d: %d joins, saved %+v, rejoin %+v", at, m.joins, m.saved, m.saved.Rejoin)
	}
	if last := m.trace[len(m.trace)-1]; last != "report" {
		t.Errorf("killed at %d: ended with %s", at, last)
	}
	return dead
}

func TestLossIsSavedBeforeAnythingIsDone(t *testing.T) {
	m := &machine{joined: true, identity: "key 0"}
	w := work(m, &instance{id: firstID, tag: "demo"}, boot.State{InstanceID: firstID, NodeUID: "uid 0", Complete: true})
	no := errors.New("disk is full")
	w.Save = func(boot.State) error { return no }
	if err := w.Lose(&join.LostError{Reason: v1alpha1.NodeDeleted}); !errors.Is(err, no) || len(m.trace) > 0 {
		t.Errorf("got %v, and did %v", err, m.trace)
	}
}
