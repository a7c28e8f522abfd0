package events_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/events"
)

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
