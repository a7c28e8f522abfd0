// Package events hands Kubernetes Events on without secrets: everybody who may
// read a namespace reads its events.
package events

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/redact"
)

// Recorder is an EventRecorder before another one.
type Recorder struct{ next record.EventRecorder }

var _ record.EventRecorder = Recorder{}

// NewRecorder returns a recorder before next.
func NewRecorder(next record.EventRecorder) Recorder { return Recorder{next} }

// Event records the message without secrets.
func (r Recorder) Event(object runtime.Object, kind, reason, message string) {
	r.next.Event(object, kind, reason, redact.Text(message))
}

// Eventf records the formatted message without secrets.
func (r Recorder) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	r.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf records the formatted message without secrets; annotations are
// the caller's own words.
func (r Recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	r.next.AnnotatedEventf(object, annotations, kind, reason, "%s", redact.Text(fmt.Sprintf(format, args...)))
}
