package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/controlplane/health"
	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/controlplane/progress"
	"github.com/joinery/joinery/lab/bubble"
)

// get is the answer after a look.
func get(t *testing.T, m *health.Monitor) (int, string) {
	t.Helper()
	m.Look(t.Context())
	return ask(m)
}

func ask(h http.Handler) (int, string) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	return rec.Code, rec.Body.String()
}

func says(name, found string, err error) health.Check {
	return health.Check{Name: name, Look: func(context.Context) (string, error) { return found, err }}
}

func TestEveryCheckHasItsLine(t *testing.T) {
	code, body := get(t, health.NewMonitor(says("a", "", nil), says("b", "since noon", nil)))
	if want := "[+] a\n[+] b: since noon\nok\n"; code != http.StatusOK || body != want {
		t.Errorf("%d %q, want %q", code, body, want)
	}
	code, body = get(t, health.NewMonitor(says("a", "", errors.New("away")), says("b", "x", nil)))
	if want := "[-] a: away\n[+] b: x\nfailed\n"; code != http.StatusServiceUnavailable || body != want {
		t.Errorf("%d %q, want %q", code, body, want)
	}
}

func TestACheckThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		code, body := get(t, health.NewMonitor(says("a", "", nil), health.Check{Name: "b", Look: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}))
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "[+] a\n[-] b: ") || time.Since(began) > 5*time.Second {
			t.Errorf("%d %q after %s", code, body, time.Since(began))
		}
	})
}

func TestAPIServer(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		if !ready.Load() {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	c := health.APIServer(client.Discovery().RESTClient())
	if _, err := c.Look(t.Context()); err != nil {
		t.Errorf("a ready one: %v", err)
	}
	ready.Store(false)
	if _, err := c.Look(t.Context()); err == nil {
		t.Error("one that refuses is taken for ready")
	}
}

func TestCredentials(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name     string
		provider aws.CredentialsProvider
		found    string
		fails    bool
	}{
		{"for ever", provider{aws.Credentials{AccessKeyID: "a"}, nil}, "", false},
		{"for a while", provider{aws.Credentials{CanExpire: true, Expires: time.Now().Add(time.Hour)}, nil}, "until ", false},
		{"expired", provider{aws.Credentials{CanExpire: true, Expires: at.AddDate(-20, 0, 0)}, nil}, "", true},
		{"away", provider{aws.Credentials{}, errors.New("IMDS: timeout")}, "", true},
		{"none", nil, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := health.Credentials(tt.provider).Look(t.Context())
			if (err != nil) != tt.fails || !strings.HasPrefix(found, tt.found) {
				t.Errorf("%q, %v", found, err)
			}
		})
	}
}

type provider struct {
	credentials aws.Credentials
	err         error
}

func (p provider) Retrieve(context.Context) (aws.Credentials, error) { return p.credentials, p.err }

func TestConfigAndLeadership(t *testing.T) {
	broken := errors.New("spec.cluster: required")
	if _, err := health.Config(func() error { return broken }).Look(t.Context()); !errors.Is(err, broken) {
		t.Errorf("broken config: %v", err)
	}
	if _, err := health.Config(func() error { return nil }).Look(t.Context()); err != nil {
		t.Error(err)
	}
	for leads, want := range map[bool]string{true: "leading=true", false: "leading=false"} {
		if got, err := health.Leadership(func() bool { return leads }).Look(t.Context()); got != want || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func TestServicesThatAreStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &progress.Board{}
		s := b.WatchRounds(leader.Service{Name: "token", Run: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}, 15*time.Minute)
		var away error
		h := health.NewMonitor(health.Services(b, health.Check{Name: "api-server", Look: func(context.Context) (string, error) { return "", away }}))
		expect := func(when string, code int, text string) {
			t.Helper()
			if got, body := get(t, h); got != code || !strings.Contains(body, text) {
				t.Errorf("%s: %d %q, want %d with %q", when, got, body, code, text)
			}
		}
		expect("standing by", http.StatusOK, "token idle")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		bubble.Sleep(10 * time.Minute)
		expect("in time", http.StatusOK, "token 10m0s ago")
		bubble.Sleep(10 * time.Minute)
		expect("stuck", http.StatusServiceUnavailable, "no progress for too long: token 20m0s ago")
		away = errors.New("connection refused")
		expect("without an API server", http.StatusOK, "waiting for the API server: connection refused")
		away = nil
		b.Done("token")
		expect("after a round", http.StatusOK, "token 0s ago")
		cancel()
		<-done
	})
}

// TestProbesAskNoOne floods a probe: what was asked of the API server depends on the
// time that passed alone.
func TestProbesAskNoOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		m := health.NewMonitor(health.Check{Name: "a", Look: func(context.Context) (string, error) {
			looks++
			return "", nil
		}})
		if code, body := ask(m); code != http.StatusServiceUnavailable || !strings.Contains(body, "no look yet") {
			t.Errorf("before the first look: %d %q", code, body)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Run(ctx)
		}()
		synctest.Wait()
		for range 60 {
			for range 1000 {
				if code, body := ask(m); code != http.StatusOK {
					t.Fatalf("%d %q", code, body)
				}
			}
			bubble.Sleep(time.Second)
		}
		if want := 1 + int(time.Minute/health.Every); looks != want {
			t.Errorf("%d looks in a minute with 60,000 questions: expected %d", looks, want)
		}
		cancel()
		<-done
		bubble.Sleep(time.Minute)
		if code, body := ask(m); code != http.StatusServiceUnavailable || !strings.Contains(body, "the last look was 1m") {
			t.Errorf("long after the last look: %d %q", code, body)
		}
	})
}
