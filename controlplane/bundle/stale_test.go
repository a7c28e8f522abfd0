package bundle_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// TestStaleReads: whatever SSM shows so soon after a write, the write is
// confirmed, and nothing older is read here afterwards.
func TestStaleReads(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			w := &awssim.World{Seed: seed, Weather: awssim.Weather{Stale: 10 * time.Second}}
			defer w.Close()
			s := bundle.NewStore(ssm.NewFromConfig(w.Config("controller")), "demo", parameter, "")
			for n := range int64(3) {
				hurried, cancel := context.WithTimeout(t.Context(), 5*time.Second) // the rotator's fence
				version, err := s.Put(hurried, sample(t, "demo"))
				cancel()
				if err != nil || version != n+1 {
					t.Fatalf("seed %d: put version %d: %v", seed, version, err)
				}
				for range 20 {
					if got, err := s.Get(t.Context()); err != nil || got.Version != version {
						t.Fatalf("seed %d: version %d after putting %d: %v", seed, got.Version, version, err)
					}
				}
			}
		})
	}
}

// TestStaleReadIsBounded: a parameter that somebody makes anew begins at version
// 1, and is believed once a stale answer is out of the question.
func TestStaleReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		api := ssm.NewFromConfig(w.Config("controller"))
		s := bundle.NewStore(api, "demo", parameter, "")
		for range 2 {
			if _, err := s.Put(t.Context(), sample(t, "demo")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := api.DeleteParameter(t.Context(), &ssm.DeleteParameterInput{Name: aws.String(parameter)}); err != nil {
			t.Fatal(err)
		}
		hurried, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := s.Get(hurried); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at once: %v", err)
		}
		bubble.Sleep(time.Minute)
		var absent *bundle.NotFoundError
		if _, err := s.Get(t.Context()); !errors.As(err, &absent) {
			t.Errorf("a minute later: %v", err)
		}
	})
}

// TestReadBackEndsWithItsCaller: a leader that is told to stop does not wait for
// SSM to settle.
func TestReadBackEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		w.Inject(awssim.Fault{Service: "ssm", Action: "GetParameter", Delay: time.Hour})
		s := bundle.NewStore(ssm.NewFromConfig(w.Config("controller")), "demo", parameter, "")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		began := time.Now()
		if _, err := s.Put(ctx, sample(t, "demo")); !errors.Is(err, context.Canceled) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// slowDial is a connection that takes longer to be made than the fence of its caller.
type slowDial struct{ next ssm.HTTPClient }

func (s slowDial) Do(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutParameter") {
		bubble.Sleep(6 * time.Second)
	}
	return s.next.Do(r)
}

// TestPutThatConnectsTooLateIsNotSent: another may lead by the time that a connection is
// made, and what is sent then would undo what it published.
func TestPutThatConnectsTooLateIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		api := ssm.NewFromConfig(w.Config("controller"), func(o *ssm.Options) { o.HTTPClient = slowDial{o.HTTPClient} })
		s := bundle.NewStore(api, "demo", parameter, "")
		fenced, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := s.Put(fenced, sample(t, "demo")); err == nil {
			t.Error("put, after the fence")
		}
		var absent *bundle.NotFoundError
		if _, err := s.Get(t.Context()); !errors.As(err, &absent) {
			t.Errorf("then read: %v", err)
		}
	})
}
