package token_test

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/bundle"
	"github.com/joinery/joinery/controlplane/token"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
)

// legacy is a rotator of tokens for old user data, on the wire.
func legacy(t *testing.T, client *fake.Clientset, api *ssm.Client) *token.Rotator {
	w := &world{}
	return token.NewRotator("demo", token.Deps{
		Purpose: token.Legacy, Secrets: client.CoreV1().Secrets(metav1.NamespaceSystem),
		Store: bundle.NewBareStore(api, "demo", "jointoken", ""), Source: w, Observer: w, Log: slog.New(slog.DiscardHandler),
	}, options(t))
}

// jointoken is what is published, by the test's own eye.
func jointoken(t *testing.T, sim *awssim.World) string {
	t.Helper()
	out, err := ssm.NewFromConfig(sim.Config(awssim.Oracle)).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("jointoken"), WithDecryption: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return *out.Parameter.Value
}

func TestLegacyTokenIsRotatedBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &awssim.World{}
		defer sim.Close()
		api, client, w := ssm.NewFromConfig(sim.Config("controller")), fake.NewClientset(), &world{}
		join, old := rotator(t, w, client), legacy(t, client, api)
		stopJoin, stopOld := run(t, join), run(t, old)
		first := jointoken(t, sim)
		s, err := client.CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-"+first[:6], metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{
			"token-secret": first[7:], "auth-extra-groups": v1alpha1.LegacyBootstrapGroup,
			"usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
		} {
			if got := string(s.Data[key]); got != want {
				t.Errorf("%s: %q", key, got)
			}
		}
		// Each rotator knows its own tokens and no others.
		for _, test := range []struct {
			r    *token.Rotator
			id   string
			want bool
		}{{join, w.id(), true}, {join, first[:6], false}, {old, first[:6], true}, {old, w.id(), false}} {
			if got, err := test.r.Issued(t.Context(), test.id, time.Now()); got != test.want || err != nil {
				t.Errorf("token %s: issued %t, %v", test.id, got, err)
			}
		}
		bubble.Sleep(time.Hour + time.Minute)
		second := jointoken(t, sim)
		if second == first {
			t.Error("not rotated after an hour")
		}
		if n := len(secretNames(t, client)); n != 4 {
			t.Errorf("%d secrets: expected two of each in the overlap", n)
		}
		bubble.Sleep(time.Hour - 2*time.Minute)
		if n := len(secretNames(t, client)); n != 2 {
			t.Errorf("%d secrets: expected one of each", n)
		}
		// A successor finds nothing to do.
		if round, err := legacy(t, client, api).Reconcile(t.Context()); err != nil || round.TokenID != second[:6] || jointoken(t, sim) != second {
			t.Errorf("successor: %+v, %v", round, err)
		}
		// Revoked: another one.
		if err := client.CoreV1().Secrets(metav1.NamespaceSystem).Delete(t.Context(), "bootstrap-token-"+second[:6], metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		old.Wake()
		bubble.Sleep(10 * time.Second)
		if jointoken(t, sim) == second {
			t.Error("a revoked token is published")
		}
		stopJoin()
		stopOld()
	})
}

// A bundle's parameter knows when its token was issued, a bare one does not; an
// old text over a newer one is seen by the Secrets all the same.
func TestAnOlderLegacyTokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &awssim.World{}
		defer sim.Close()
		api, client := ssm.NewFromConfig(sim.Config("controller")), fake.NewClientset()
		r := legacy(t, client, api)
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := jointoken(t, sim)
		bubble.Sleep(time.Hour)
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := jointoken(t, sim)
		for _, text := range []string{first, "abcdef.0123456789abcdef"} { // the second is of the cron job that was here before
			if _, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("jointoken"), Value: &text, Overwrite: aws.Bool(true)}); err != nil {
				t.Fatal(err)
			}
			sim.Settle()
			if _, err := r.Reconcile(t.Context()); err != nil || jointoken(t, sim) != second {
				t.Errorf("after %s: %s, %v: expected %s", text, jointoken(t, sim), err, second)
			}
		}
		text := "somebody's password"
		if _, err := api.PutParameter(t.Context(), &ssm.PutParameterInput{Name: aws.String("jointoken"), Value: &text, Overwrite: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		sim.Settle()
		var foreign *bundle.NotOursError
		if _, err := r.Reconcile(t.Context()); !errors.As(err, &foreign) || jointoken(t, sim) != text {
			t.Errorf("somebody else's: %v", err)
		}
	})
}

func TestRetireDeletesWhatIsLeftOfItsPurpose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &awssim.World{}
		defer sim.Close()
		client, w := fake.NewClientset(), &world{}
		if _, err := rotator(t, w, client).Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := legacy(t, client, ssm.NewFromConfig(sim.Config("controller")))
		if _, err := r.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(secretNames(t, client)); n != 2 {
			t.Fatalf("%d secrets", n)
		}
		go func() { _ = r.Retire(t.Context()) }()
		synctest.Wait()
		if names := secretNames(t, client); len(names) != 1 || names[0] != "bootstrap-token-"+w.id() {
			t.Errorf("secrets %v: expected that of agents alone", names)
		}
	})
}
