package v1alpha1_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/joinery/joinery/api/v1alpha1"
)

func TestJoinBundleRoundTrip(t *testing.T) {
	want := bundle(t)
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := v1alpha1.DecodeJoinBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	want.TypeMeta = v1alpha1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: v1alpha1.KindJoinBundle}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("bundle changed on its way (-want +got):\n%s", diff)
	}
	if got.TokenID() != "abcdef" || got.Token.Reveal() != "abcdef.0123456789abcdef" {
		t.Errorf("token id %q", got.TokenID())
	}
}

func TestJoinBundleNeverShowsItsToken(t *testing.T) {
	b := bundle(t)
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("bundle", "bundle", b, "token", b.Token)
	text := slog.New(slog.NewTextHandler(&log, nil))
	text.Info("bundle", "bundle", b, "token", b.Token)
	encoded, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	secret := "0123456789abcdef"
	all := []string{log.String(), string(encoded), b.Token.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		all = append(all, fmt.Sprintf(verb, b), fmt.Sprintf(verb, &b), fmt.Sprintf(verb, b.Token))
	}
	for _, s := range all {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
			t.Errorf("shows the token: %s", s)
		}
	}
}

func TestDecodeJoinBundleListsEveryProblem(t *testing.T) {
	leaf := certificate(t, false)
	b := map[string]any{"apiVersion": v1alpha1.GroupVersion, "kind": "JoinBundle", "cluster": "", "endpoint": "nowhere",
		"caCert": leaf, "token": "not-a-token", "kubernetesVersion": "latest", "extra": 1}
	data, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = v1alpha1.DecodeJoinBundle(data)
	var invalid *v1alpha1.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v: expected an InvalidError", err)
	}
	var fields []string
	for _, p := range invalid.Problems {
		fields = append(fields, p.Field)
	}
	want := []string{"extra", "cluster", "endpoint", "caCert", "token", "issuedAt", "expiresAt", "kubernetesVersion"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields with problems (-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), "not-a-token") {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestJoinBundleUsable(t *testing.T) {
	b := bundle(t)
	var other *v1alpha1.OtherClusterError
	var expired *v1alpha1.ExpiredError
	if err := b.Usable("demo", issued.Add(84*time.Minute)); err != nil {
		t.Errorf("with six minutes left: %v", err)
	}
	if err := b.Usable("prod", issued); !errors.As(err, &other) {
		t.Errorf("another cluster's bundle: %v", err)
	}
	if err := b.Usable("demo", issued.Add(86*time.Minute)); !errors.As(err, &expired) {
		t.Errorf("with four minutes left: %v", err)
	}
}

func TestJoinBundleMustFitIntoSSM(t *testing.T) {
	b := bundle(t)
	b.CACert = strings.Repeat(b.CACert, 8)
	if _, err := b.Encode(); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("error %v: expected the limit to be named", err)
	}
}

func FuzzDecodeJoinBundle(f *testing.F) {
	b := bundle(f)
	data, err := b.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("apiVersion: joinery.dev/v1alpha1\nkind: JoinBundle\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := v1alpha1.DecodeJoinBundle(data)
		if err != nil {
			return
		}
		if again, err := got.Encode(); err == nil {
			if _, err := v1alpha1.DecodeJoinBundle(again); err != nil {
				t.Errorf("what was accepted is refused after encoding: %v", err)
			}
		}
	})
}

func TestJoinBundleNamesARelease(t *testing.T) {
	for version, ok := range map[string]bool{
		"v1.37.2": true, "v1.37.0-rc.1": true, "v1.36.4-eks-1": true, "v1.36.4+k3s1": true,
		"1.37.2": false, "v1.37": false, "v1.037.2": false, "v01.37.2": false, "v1.37.02": false, "v1.37.00-rc.1": false,
	} {
		b := bundle(t)
		b.KubernetesVersion = version
		data, err := b.Encode()
		if err == nil {
			_, err = v1alpha1.DecodeJoinBundle(data)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", version, err)
		}
	}
}
