package events_test

import (
	"strings"
	"testing"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/events"
	"github.com/joinery/joinery/internal/quote"
)

// What a node or an AWS error wrote cannot forge an Event of its own.
func TestEventsAreOneBoundedLine(t *testing.T) {
	const hostile = "a\n\x1b[31m\u202e\xff"
	long := strings.Repeat(hostile, quote.MostLine)
	fake := record.NewFakeRecorder(10)
	r := events.NewRecorder(fake)
	r.Event(&corev1.Node{}, "Normal", hostile, long)
	r.Eventf(&corev1.Node{}, "Normal", hostile, "%s", long)
	r.AnnotatedEventf(&corev1.Node{}, map[string]string{"k": hostile}, "Normal", hostile, "%s", long)
	for range 3 {
		got := <-fake.Events
		if strings.IndexFunc(got, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
			t.Errorf("holds what is not printable: %q", got)
		}
		if most := quote.MostLine + 100; len(got) > most {
			t.Errorf("%d bytes: expected at most %d", len(got), most)
		}
	}
}

func TestEventsHoldNoSecret(t *testing.T) {
	const token = "abcdef.0123456789abcdef"
	fake := record.NewFakeRecorder(10)
	r := events.NewRecorder(fake)
	r.Event(&corev1.Node{}, "Normal", "A", "100% of "+token)
	r.Eventf(&corev1.Node{}, "Normal", "B", "%d%% of %s", 100, token)
	r.AnnotatedEventf(&corev1.Node{}, nil, "Normal", "C", "%d%% of %s", 100, token)
	for range 3 {
		if got := <-fake.Events; !strings.Contains(got, "100% of [redacted]") {
			t.Errorf("got %q", got)
		}
	}
}
