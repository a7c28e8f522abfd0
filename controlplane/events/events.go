// Package events is the one place where the control plane's Kubernetes Events are
// recorded. Each message becomes one printable, bounded line without secrets: any reader
// of a namespace reads its Events, and parts of many are what outsiders wrote.
package events

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/internal/output"
)

// Start returns a recorder that sends the component's Events to the API server until ctx
// ends.
func Start(ctx context.Context, client kubernetes.Interface, component string) Recorder {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(metav1.NamespaceAll)})
	return NewRecorder(b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: component}))
}

// Recorder is an EventRecorder before another one.
type Recorder struct{ next record.EventRecorder }

var _ record.EventRecorder = Recorder{}

// NewRecorder returns a recorder before next.
func NewRecorder(next record.EventRecorder) Recorder { return Recorder{next} }

// Event records the message.
func (r Recorder) Event(object runtime.Object, kind, reason, message string) {
	r.next.Event(object, kind, output.Line(reason), output.Line(message))
}

// Eventf records the formatted message.
func (r Recorder) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	r.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf records the formatted message with annotations of the Event.
func (r Recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	lines := make(map[string]string, len(annotations))
	for key, text := range annotations {
		lines[key] = output.Line(text)
	}
	r.next.AnnotatedEventf(object, lines, kind, output.Line(reason), "%s", output.Line(fmt.Sprintf(format, args...)))
}
