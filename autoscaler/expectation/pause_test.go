package expectation

import (
	"testing"
	"time"
)

func TestPauseDoublesAndForgets(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p := &pause{}
	for _, tt := range []struct{ after, want time.Duration }{
		{0, 5 * time.Minute}, {6 * time.Minute, 10 * time.Minute}, {11 * time.Minute, 20 * time.Minute},
		{21 * time.Minute, 30 * time.Minute}, {31 * time.Minute, 30 * time.Minute}, {4 * time.Hour, 5 * time.Minute},
	} {
		at = at.Add(tt.after)
		if !p.fail(at, "why") {
			t.Errorf("after %s: the pause did not change", tt.after)
		}
		if got := p.Until.Sub(at); got != tt.want {
			t.Errorf("after %s: pauses for %s, want %s", tt.after, got, tt.want)
		}
	}
	if until := p.Until; p.fail(at.Add(time.Minute), "again") || !p.Until.Equal(until) {
		t.Error("what fails while the place pauses was bought before: it must not pause it longer")
	}
}
