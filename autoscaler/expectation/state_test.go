package expectation_test

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/autoscaler/expectation"
)

// A leader that cannot read what was kept plans all the same, and reads it later. What
// it has bought meanwhile is judged as ever: no pod waits for it without end.
func TestWhatWasBoughtBeforeRestoreIsJudged(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	before := expectation.New(expectation.Options{})
	before.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Pods: []expectation.Pod{{UID: "old", Subject: "s"}}}}})
	text, err := before.State()
	if err != nil {
		t.Fatal(err)
	}
	l, groups := expectation.New(expectation.Options{}), owes()
	look(t, l, groups, now)
	l.Record(expectation.Launch{Group: "a", Version: "1", At: now, Nodes: []expectation.Node{{Pods: []expectation.Pod{{UID: "app", Subject: "s"}}}}})
	if err := l.Restore(text); err != nil {
		t.Fatal(err)
	}
	for _, uid := range []types.UID{"old", "app"} {
		if _, coming := l.Held(uid, "s", now); !coming {
			t.Errorf("%s buys another node before its own is judged", uid)
		}
	}
	if out := look(t, l, groups, now.Add(16*time.Minute)); len(out) != 2 {
		t.Errorf("outcomes %+v, want those of both launches", out)
	}
	for _, uid := range []types.UID{"old", "app"} {
		if why, coming := l.Held(uid, "s", now.Add(16*time.Minute)); why != "" || coming {
			t.Errorf("%s waits still: %s", uid, why)
		}
	}
}
