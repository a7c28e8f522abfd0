package join_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/joinery/joinery/agent/join"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/lab/awssim"
)

// parameters returns a world and a node's SSM client, over HTTP.
func parameters(t *testing.T) (*awssim.World, *ssm.Client) {
	t.Helper()
	w := &awssim.World{}
	t.Cleanup(w.Close)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	c := w.Config("node")
	c.BaseEndpoint, c.HTTPClient = aws.String(server.URL), nil
	return w, ssm.NewFromConfig(c)
}

func publish(t *testing.T, w *awssim.World, value string) {
	t.Helper()
	_, err := ssm.NewFromConfig(w.Config("controller")).PutParameter(t.Context(), &ssm.PutParameterInput{
		Name: aws.String("/joinery/demo/join"), Value: aws.String(value), Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Settle()
}

func encode(t *testing.T, change func(*v1alpha1.JoinBundle)) string {
	t.Helper()
	b := &v1alpha1.JoinBundle{
		Cluster: "demo", Endpoint: "10.99.0.11:6443", CACert: newAuthority(t).pem, Token: token,
		IssuedAt: time.Now().Add(-time.Hour), ExpiresAt: time.Now().Add(time.Hour), KubernetesVersion: "v1.37.2",
	}
	if change != nil {
		change(b)
	}
	data, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFetchBundle(t *testing.T) {
	w, client := parameters(t)
	publish(t, w, encode(t, nil))
	b, err := join.FetchBundle(t.Context(), client, node(t, nil).Spec, time.Now())
	if err != nil || b.TokenID() != "abcdef" || b.Token.Reveal() != token {
		t.Errorf("got %+v, %v", b, err)
	}
}

func TestFetchBundleRefusesWhatItMayNotUse(t *testing.T) {
	for name, tc := range map[string]struct {
		value func(t *testing.T) string
		want  func(error) bool
	}{
		"other cluster": {func(t *testing.T) string { return encode(t, func(b *v1alpha1.JoinBundle) { b.Cluster = "prod" }) },
			is[*v1alpha1.OtherClusterError]},
		"expired": {func(t *testing.T) string {
			return encode(t, func(b *v1alpha1.JoinBundle) { b.ExpiresAt = time.Now().Add(-time.Minute) })
		}, is[*v1alpha1.ExpiredError]},
		"nearly expired": {func(t *testing.T) string {
			return encode(t, func(b *v1alpha1.JoinBundle) { b.ExpiresAt = time.Now().Add(4 * time.Minute) })
		}, is[*v1alpha1.ExpiredError]},
		"rubbish": {func(*testing.T) string { return "kubeadm join --token " + token }, is[*v1alpha1.InvalidError]},
		"no CA": {func(t *testing.T) string { return strings.Replace(encode(t, nil), "BEGIN CERT", "BEGIN CRET", 1) },
			is[*v1alpha1.InvalidError]},
		"other version": {func(t *testing.T) string { return strings.Replace(encode(t, nil), "v1alpha1", "v2", 1) },
			is[*v1alpha1.VersionError]},
	} {
		t.Run(name, func(t *testing.T) {
			w, client := parameters(t)
			publish(t, w, tc.value(t))
			b, err := join.FetchBundle(t.Context(), client, node(t, nil).Spec, time.Now())
			if b != nil || !tc.want(err) || !is[*join.BundleError](err) {
				t.Errorf("got %v, %v", b, err)
			}
			if err != nil && (strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "/joinery/demo/join")) {
				t.Errorf("%v: shows the token, or not the parameter", err)
			}
		})
	}
}

func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestFetchBundleTellsWhyThereIsNone(t *testing.T) {
	w, client := parameters(t)
	spec := node(t, nil).Spec
	if _, err := join.FetchBundle(t.Context(), client, spec, time.Now()); !is[*join.NotPublishedError](err) {
		t.Errorf("no parameter: got %v", err)
	}
	remove := w.Inject(awssim.Fault{Service: "ssm", Code: "AccessDeniedException", Message: "not authorized"})
	_, err := join.FetchBundle(t.Context(), client, spec, time.Now())
	var refused *join.RefusedError
	if !errors.As(err, &refused) || !refused.Slow() {
		t.Errorf("no permission: got %v", err)
	}
	remove()
	publish(t, w, encode(t, nil))
	w.Inject(awssim.Fault{Service: "ssm", Action: "GetParameter", Code: awssim.Throttle, Count: 1})
	if _, err := join.FetchBundle(t.Context(), client, spec, time.Now()); err != nil {
		t.Errorf("throttled once: got %v", err)
	}
}
