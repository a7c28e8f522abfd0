package images_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/record"

	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/lab/bubble"
)

// fixed is what is there to be seen.
type fixed struct {
	mu   sync.Mutex
	seen []images.Image
	err  error
}

func (f *fixed) set(err error, seen ...images.Image) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.err = seen, err
}

func (f *fixed) Look(context.Context) ([]images.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen, f.err
}

func (f *fixed) ServerVersion() (*apiversion.Info, error) {
	return &apiversion.Info{GitVersion: running.APIServer}, nil
}

// What is wrong is said again and again until it is right, and what can be read is
// said although something else cannot.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, reg, events := &fixed{}, prometheus.NewRegistry(), record.NewFakeRecorder(10)
		there.set(errors.New("a group is lost"), tagged("1.37.0", "0.1.0"))
		w := &images.Watch{Images: there, Server: there, Joinery: running.Joinery, Events: events, About: &corev1.Pod{}, Metrics: images.NewMetrics(reg), Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		synctest.Wait()
		shown(t, reg, images.AgentTooOld, images.KubeletTooNew)
		for _, reason := range []images.Reason{images.KubeletTooNew, images.AgentTooOld} {
			if e := <-events.Events; !strings.HasPrefix(e, "Warning "+string(reason)+" image ami-1 of a, b ") || !strings.Contains(e, "Fix: packer build") {
				t.Errorf("Event %q, want %s", e, reason)
			}
		}
		there.set(nil, tagged("1.36.4", "0.3.1"))
		bubble.Sleep(images.Every)
		shown(t, reg)
		there.set(nil, tagged("1.36", "0.3.1"))
		bubble.Sleep(images.Every)
		shown(t, reg, images.InvalidTag)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		shown(t, reg)
	})
}

// Who gets no answer learns nothing: what was shown stays, and of a part of the images
// only that part changes.
func TestWatchKeepsWhatItCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := tagged("1.36.4", "0.3.1")
		other.ID = "ami-2"
		there, reg := &fixed{}, prometheus.NewRegistry()
		there.set(nil, tagged("1.37.0", "0.1.0"), other)
		w := &images.Watch{Images: there, Server: there, Joinery: running.Joinery, Events: &record.FakeRecorder{}, About: &corev1.Pod{}, Metrics: images.NewMetrics(reg), Log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx) }()
		for _, c := range []struct {
			err  error
			seen []images.Image
			want []images.Reason
		}{
			{nil, []images.Image{tagged("1.37.0", "0.1.0"), other}, []images.Reason{images.AgentTooOld, images.KubeletTooNew}},
			{errors.New("no answer"), nil, []images.Reason{images.AgentTooOld, images.KubeletTooNew}},
			{errors.New("a group is lost"), []images.Image{other}, []images.Reason{images.AgentTooOld, images.KubeletTooNew}},
			{errors.New("a group is lost"), []images.Image{tagged("1.37.0", "0.3.1")}, []images.Reason{images.KubeletTooNew}},
			{nil, []images.Image{other}, nil},
		} {
			there.set(c.err, c.seen...)
			bubble.Sleep(2 * images.Every) // a retry waits no longer than that
			shown(t, reg, c.want...)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// shown compares the reasons for which an image is shown, in the order of the alphabet.
func shown(t *testing.T, reg *prometheus.Registry, want ...images.Reason) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []images.Reason
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := m.GetLabel() // image, reason
			if f.GetName() != "joinery_image_problem" || labels[0].GetValue() != "ami-1" || m.GetGauge().GetValue() != 1 {
				t.Errorf("%s %v", f.GetName(), m)
			}
			got = append(got, images.Reason(labels[1].GetValue()))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown are %q, want %q", got, want)
	}
}
