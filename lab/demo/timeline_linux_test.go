package demo

import (
	"strings"
	"testing"
	"time"
)

func TestTimelineDrawsLanes(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var out strings.Builder
	tl := newTimeline(&out, start)
	tl.add(Event{Time: start.Add(1500 * time.Millisecond), Source: "aws", Subject: "workers", What: "desired 1 -> 3"})
	a, b := "ip-10-99-0-12.us-west-2.compute.internal", "ip-10-99-0-13.us-west-2.compute.internal"
	tl.enter(a, start, booting)
	tl.enter(a, start.Add(2*time.Second), joining)
	tl.enter(a, start.Add(4*time.Second), ready)
	tl.enter(b, start.Add(3*time.Second), booting)
	tl.enter(b, start.Add(5*time.Second), draining)
	tl.enter(b, start.Add(6*time.Second), ready) // what is going is not Ready again
	tl.enter(b, start.Add(7*time.Second), gone)
	got := tl.chart(start.Add(8 * time.Second))
	want := `
  ip-10-99-0-12   |..--====
  ip-10-99-0-13   |   ..~~ 
  . booting   - joining   = Ready   ~ going        one column is 1s
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if line := out.String(); !strings.Contains(line, "1.5s  aws         workers") || strings.Contains(line, "\x1b") {
		t.Errorf("event line %q", line)
	}
}

func TestTimelineKeepsToItsWidth(t *testing.T) {
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tl := newTimeline(&strings.Builder{}, start)
	tl.enter("node", start, booting)
	for _, minutes := range []int{1, 2, 5, 60} {
		for line := range strings.Lines(tl.chart(start.Add(time.Duration(minutes) * time.Minute))) {
			if len(line) > laneWidth+24 {
				t.Errorf("after %d minutes a line has %d columns", minutes, len(line))
			}
		}
	}
}
