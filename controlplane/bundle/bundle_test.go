package bundle_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/lab/awssim"
)

const parameter = "/joinery/demo/join"

// account is SSM as a client sees it, and the world behind, which fixtures settle.
type account struct {
	*ssm.Client
	world *awssim.World
}

func client(t *testing.T) account {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	c := w.Config("controller")
	c.RetryMaxAttempts = 1
	return account{ssm.NewFromConfig(c), w}
}

func sample(t *testing.T, cluster string) *v1alpha1.JoinBundle {
	t.Helper()
	c := bundle.Cluster{Name: cluster, Endpoint: "10.0.0.1:6443", CACert: authority(t, 0, time.Hour), KubernetesVersion: "v1.37.2"}
	now := time.Now().UTC().Truncate(time.Second)
	b := c.Bundle("abcdef.0123456789abcdef", now, now.Add(time.Hour))
	if field := c.Says(b); field != "" {
		t.Fatalf("a fresh bundle disagrees in %s", field)
	}
	return b
}

func TestPutAndGet(t *testing.T) {
	api := client(t)
	s := bundle.NewStore(api, "demo", parameter, "")
	var absent *bundle.NotFoundError
	if _, err := s.Get(t.Context()); !errors.As(err, &absent) || absent.Parameter != parameter {
		t.Fatalf("before the first: %v", err)
	}
	want := sample(t, "demo")
	for n := range int64(2) { // the second overwrites
		if version, err := s.Put(t.Context(), want); err != nil || version != n+1 {
			t.Fatalf("version %d: %v", version, err)
		}
	}
	stored, err := s.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(stored.Modified); stored.Version != 2 || age < -time.Second || age > time.Minute {
		t.Errorf("version %d of %s", stored.Version, stored.Modified)
	}
	got := stored.Bundle
	got.TypeMeta = v1alpha1.TypeMeta{}
	if diff := cmp.Diff(want, got); diff != "" || got.Token.Reveal() != want.Token.Reveal() {
		t.Errorf("-put +got:\n%s", diff)
	}
	out, err := api.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(parameter)})
	if err != nil {
		t.Fatal(err)
	}
	if out.Parameter.Type != types.ParameterTypeSecureString || strings.Contains(*out.Parameter.Value, "0123456789abcdef") {
		t.Errorf("stored as %s: %s", out.Parameter.Type, *out.Parameter.Value)
	}
}

func TestWhatIsNotOursIsNamedByItsField(t *testing.T) {
	encoded, err := sample(t, "prod").Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, text, field, got string }{
		{"other cluster", string(encoded), "cluster", "prod"},
		{"other cluster's later release", strings.Replace(string(encoded), "{", `{"colour":"red",`, 1), "cluster", "prod"},
		{"newer version", strings.Replace(string(encoded), "v1alpha1", "v1beta1", 1), "apiVersion", "joinery.dev/v1beta1"},
		{"other kind", strings.Replace(string(encoded), "JoinBundle", "NodeConfig", 1), "kind", "NodeConfig"},
	} {
		t.Run(test.name, func(t *testing.T) {
			api := client(t)
			put(t, api, test.text)
			_, err := bundle.NewStore(api, "demo", parameter, "").Get(t.Context())
			var foreign *bundle.NotOursError
			if !errors.As(err, &foreign) || foreign.Field != test.field || foreign.Got != test.got {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPlaceholdersAreInvalidNotForeign(t *testing.T) {
	for _, text := range []string{"changeme", "{}", "a: [", `{"apiVersion":"joinery.dev/v1alpha1","kind":"JoinBundle","token":"s3cr3t-text"}`} {
		api := client(t)
		put(t, api, text)
		_, err := bundle.NewStore(api, "demo", parameter, "").Get(t.Context())
		var invalid *v1alpha1.InvalidError
		if !errors.As(err, &invalid) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func put(t *testing.T, api account, text string) {
	t.Helper()
	_, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String(parameter), Value: &text, Type: types.ParameterTypeSecureString})
	if err != nil {
		t.Fatal(err)
	}
	api.world.Settle()
}

func TestPutRefusesAnotherClustersBundle(t *testing.T) {
	var other *v1alpha1.OtherClusterError
	if _, err := bundle.NewStore(client(t), "demo", parameter, "").Put(t.Context(), sample(t, "prod")); !errors.As(err, &other) {
		t.Errorf("got %v", err)
	}
}

// A bundle that SSM would refuse is known before it is written, and the error
// says what makes it so large.
func TestCheckSaysWhatIsTooLarge(t *testing.T) {
	api := client(t)
	s := bundle.NewStore(api, "demo", parameter, "")
	b := sample(t, "demo")
	if err := s.Check(b); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		b.CACert += "\n" + authority(t, 0, time.Hour)
	}
	var size *v1alpha1.BundleSizeError
	if err := s.Check(b); !errors.As(err, &size) || size.CACerts != 11 || size.CABytes != len(b.CACert) || size.Bytes <= size.CABytes {
		t.Errorf("got %v", err)
	}
	if _, err := s.Put(t.Context(), b); !errors.As(err, &size) {
		t.Errorf("put: %v", err)
	}
	b = sample(t, "demo")
	b.KubernetesVersion = "soon"
	var invalid *v1alpha1.InvalidError
	if err := s.Check(b); !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	var absent *bundle.NotFoundError
	if _, err := s.Get(t.Context()); !errors.As(err, &absent) {
		t.Errorf("something was written: %v", err)
	}
}

func TestUnreadableTextHasAVersion(t *testing.T) {
	api := client(t)
	put(t, api, "changeme")
	got, err := bundle.NewStore(api, "demo", parameter, "").Get(t.Context())
	if err == nil || got.Bundle != nil || got.Version != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// overslept is a context whose timer has not fired although its deadline is
// over, as after SIGCONT.
type overslept struct {
	context.Context
	deadline time.Time
}

func (o overslept) Deadline() (time.Time, bool) { return o.deadline, true }

func TestPutSendsNothingAfterItsDeadline(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name     string
		deadline time.Time
		sent     bool
	}{
		{"in time", now.Add(time.Minute), true},
		{"stopped", now.Add(-time.Hour), false},
		// A frozen machine's monotonic clock stood still: it says that there is a
		// minute left, the wall clock says that the deadline was an hour ago.
		{"frozen", skewed(now.Add(time.Minute), -time.Hour), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := bundle.NewStore(client(t), "demo", parameter, "")
			_, err := s.Put(overslept{t.Context(), test.deadline}, sample(t, "demo"))
			var late *bundle.LateError
			if errors.As(err, &late) == test.sent || test.sent && err != nil {
				t.Errorf("got %v", err)
			}
			if _, err := s.Get(t.Context()); (err == nil) != test.sent {
				t.Errorf("then read: %v", err)
			}
		})
	}
}

// skewed moves the wall clock reading of a time and leaves its monotonic one:
// what another machine would have to be frozen for.
func skewed(at time.Time, by time.Duration) time.Time {
	// The layout of time.Time with a monotonic reading: wall holds a flag, 33 bits
	// of seconds and 30 bits of nanoseconds. There is no other way to make one.
	t := (*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&at))
	t.wall += uint64(int64(by/time.Second)) << 30
	return at
}

func TestBareToken(t *testing.T) {
	api := client(t)
	s := bundle.NewBareStore(api, "demo", "jointoken", "")
	var absent *bundle.NotFoundError
	if _, err := s.Get(t.Context()); !errors.As(err, &absent) {
		t.Fatalf("before the first: %v", err)
	}
	b := sample(t, "demo")
	if version, err := s.Put(t.Context(), b); err != nil || version != 1 {
		t.Fatalf("version %d: %v", version, err)
	}
	out, err := api.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("jointoken"), WithDecryption: aws.Bool(true)})
	if err != nil || *out.Parameter.Value != b.Token.Reveal() || out.Parameter.Type != types.ParameterTypeSecureString {
		t.Errorf("an old script would read %+v, %v", out, err)
	}
	got, err := s.Get(t.Context())
	if err != nil || got.Bundle.Token.Reveal() != b.Token.Reveal() || !got.Bundle.IssuedAt.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	if b.Token = "short"; s.Check(b) == nil {
		t.Error("what is no token passes")
	}
	overwrite(t, api, "jointoken", "database-password")
	var foreign *bundle.NotOursError
	if _, err := s.Get(t.Context()); !errors.As(err, &foreign) || strings.Contains(err.Error(), "database") {
		t.Errorf("somebody else's: %v", err)
	}
}

func overwrite(t *testing.T, api account, name, text string) {
	t.Helper()
	_, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: &name, Value: &text, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	api.world.Settle()
}

// A deadline bounds when a write is sent, and not how long SSM takes to answer it. A caller
// that gives up ends it at once.
func TestPutIsAnsweredAfterItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &awssim.World{}
		defer w.Close()
		w.Inject(awssim.Fault{Service: "ssm", Delay: 3 * time.Second})
		s := bundle.NewStore(ssm.NewFromConfig(w.Config("controller")), "demo", parameter, "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := s.Put(ctx, sample(t, "demo")); err != nil || time.Since(began) < 6*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		ctx, giveUp := context.WithTimeout(t.Context(), time.Minute)
		time.AfterFunc(time.Second, giveUp)
		began = time.Now()
		if _, err := s.Put(ctx, sample(t, "demo")); !errors.Is(err, context.Canceled) || time.Since(began) > 2*time.Second {
			t.Errorf("given up after %s: %v", time.Since(began), err)
		}
	})
}
