package progress_test

import (
	"errors"
	"testing"

	"github.com/joinery/joinery/lab/progress"
)

func TestStep(t *testing.T) {
	broken := errors.New("broken")
	var got []progress.Event
	report := progress.Func(func(e progress.Event) { got = append(got, e) })
	if err := report.Step("a", func() (bool, error) { return true, nil }); err != nil {
		t.Error(err)
	}
	if err := report.Step("b", func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := progress.Func(nil).Step("c", func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	report.Note("d was chosen")
	progress.Func(nil).Note("nobody listens")
	want := []progress.Event{
		{Step: "a", State: progress.Started}, {Step: "a", State: progress.Done, Cached: true},
		{Step: "b", State: progress.Started}, {Step: "b", State: progress.Done, Err: broken},
		{Step: "d was chosen", State: progress.Noted},
	}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i := range want {
		got[i].Elapsed = 0 // as long as it took
		if got[i] != want[i] {
			t.Errorf("event %d is %v, want %v", i, got[i], want[i])
		}
	}
}
