package v1alpha1_test

import (
	"testing"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
)

func TestSkewReadsItsMessage(t *testing.T) {
	for _, want := range []time.Duration{-187 * time.Second, 0, 26 * time.Hour} {
		if got, ok := v1alpha1.Skew(v1alpha1.SkewMessage(want, "a proof: signed late")); !ok || got != want {
			t.Errorf("got %s, %t: expected %s", got, ok, want)
		}
	}
	for _, text := range []string{"", "skew", "skew 3m", "skew x: y", "clock 3m: y", "3m: skew "} {
		if got, ok := v1alpha1.Skew(text); ok {
			t.Errorf("%q: read as %s", text, got)
		}
	}
}
