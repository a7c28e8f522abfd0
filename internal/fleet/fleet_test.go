package fleet_test

import (
	"testing"

	"github.com/joinery/joinery/internal/fleet"
)

func TestFromProviderID(t *testing.T) {
	for text, want := range map[string]string{
		"aws:///us-west-2a/i-0123456789abcdef0":                     "i-0123456789abcdef0",
		"aws:///us-west-2a/i-01234567":                              "i-01234567",
		"aws:////i-0123456789abcdef0":                               "i-0123456789abcdef0",
		"aws:///i-0123456789abcdef0":                                "i-0123456789abcdef0",
		"aws://us-west-2a/i-0123456789abcdef0":                      "i-0123456789abcdef0",
		"aws://i-0123456789abcdef0":                                 "",
		"aws:///us-west-2a/i-0123":                                  "",
		"aws:///us-west-2a/x/i-0123456789abcdef0":                   "",
		"aws:///us-west-2a/i-0123456789abcdef0 ":                    "",
		"aws:///us-west-2a/I-0123456789ABCDEF0":                     "",
		"aws:///us-west-2a/i-0123456789abcdef0/i-0123456789abcdef1": "",
		"gce:///us-west-2a/i-0123456789abcdef0":                     "",
		"":                                                          "",
	} {
		if got, ok := fleet.FromProviderID(text); ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %t", text, got, ok)
		}
	}
}
