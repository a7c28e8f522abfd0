package demo

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// phase of an instance's life, one letter of its lane.
type phase byte

const (
	booting  phase = '.'
	joining  phase = '-'
	ready    phase = '='
	draining phase = '~'
	gone     phase = ' '
)

// legend explains the lanes.
const legend = "  . booting   - joining   = Ready   ~ going        one column is %s\n"

// timeline keeps the events and draws them: a line for each as it happens and,
// below them on a terminal, a lane for each instance that grows with time.
type timeline struct {
	out      io.Writer
	terminal bool
	columns  int // a lane's width
	start    time.Time

	mu     sync.Mutex // guards everything that follows
	events []Event
	lanes  map[string][]change // node name -> its changes, oldest first
	status string
	drawn  int // lines of the live part on the screen
}

type change struct {
	at time.Time
	to phase
}

func newTimeline(out io.Writer, start time.Time) *timeline {
	f, isFile := out.(*os.File)
	t := &timeline{out: out, columns: laneWidth, start: start, lanes: map[string][]change{}}
	if isFile {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		t.terminal = err == nil
		if t.terminal && size.Col > 0 { // a line that wraps could not be erased
			t.columns = min(laneWidth, max(10, int(size.Col)-laneLabel))
		}
	}
	return t
}

// add records an event and prints it.
func (t *timeline) add(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
	t.erase()
	fmt.Fprintf(t.out, "%7.1fs  %-10s  %-34s  %s\n", e.Time.Sub(t.start).Seconds(), e.Source, e.Subject, e.What)
	t.draw(time.Now())
}

// print writes a line that is no event.
func (t *timeline) print(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.erase()
	fmt.Fprintf(t.out, format+"\n", args...)
	t.draw(time.Now())
}

// enter says that a node's lane goes on in another phase. Lanes only move
// forward: what is going is not Ready again.
func (t *timeline) enter(node string, at time.Time, to phase) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lane := t.lanes[node]
	order := []phase{booting, joining, ready, draining, gone}
	if n := len(lane); n > 0 && slices.Index(order, to) <= slices.Index(order, lane[n-1].to) {
		return
	}
	t.lanes[node] = append(lane, change{at, to})
}

// say sets the line below the lanes.
func (t *timeline) say(status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = status
}

// animate redraws the live part until stop is closed.
func (t *timeline) animate(stop <-chan struct{}) {
	if !t.terminal {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			t.mu.Lock()
			t.erase()
			t.terminal = false // what follows is the summary
			t.mu.Unlock()
			return
		case now := <-tick.C:
			t.mu.Lock()
			t.erase()
			t.draw(now)
			t.mu.Unlock()
		}
	}
}

// history returns a copy of the events.
func (t *timeline) history() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// chart draws all lanes as they were until now.
func (t *timeline) chart(now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.chartLines(now), "")
}

func (t *timeline) erase() {
	if t.drawn > 0 {
		fmt.Fprintf(t.out, "\x1b[%dA\x1b[J", t.drawn)
		t.drawn = 0
	}
}

func (t *timeline) draw(now time.Time) {
	if !t.terminal {
		return
	}
	lines := t.chartLines(now)
	if t.status != "" {
		lines = append(lines, "  "+t.status+"\n")
	}
	fmt.Fprint(t.out, strings.Join(lines, ""))
	t.drawn = len(lines)
}

const (
	// laneWidth is how many columns a lane may take.
	laneWidth = 72
	// laneLabel is how many the name before it takes.
	laneLabel = 20
)

func (t *timeline) chartLines(now time.Time) []string {
	first := now
	for _, lane := range t.lanes {
		if lane[0].at.Before(first) {
			first = lane[0].at
		}
	}
	if len(t.lanes) == 0 {
		return nil
	}
	column := max(time.Second, (now.Sub(first)/time.Duration(t.columns) + time.Second).Truncate(time.Second))
	lines := []string{"\n"}
	for _, node := range slices.Sorted(maps.Keys(t.lanes)) {
		lines = append(lines, fmt.Sprintf("  %-16s|%s\n", shortName(node), drawLane(t.lanes[node], first, now, column)))
	}
	return append(lines, fmt.Sprintf(legend, column))
}

func drawLane(lane []change, first, now time.Time, column time.Duration) string {
	var b strings.Builder
	for at := first; at.Before(now); at = at.Add(column) {
		c := byte(gone)
		for _, step := range lane {
			if step.at.Before(at.Add(column)) {
				c = byte(step.to)
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

func shortName(node string) string {
	short, _, _ := strings.Cut(node, ".")
	return short
}
