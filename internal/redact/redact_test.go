package redact_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/joinery/joinery/internal/redact"
)

// secret texts, with what must not come out of each.
var secret = map[string]string{
	"the token is abcdef.0123456789abcdef.":                                          "0123456789abcdef",
	"x -----BEGIN EC PRIVATE KEY-----\nMHcC\nAQEE\n-----END EC PRIVATE KEY----- y":   "MHcC",
	"cut -----BEGIN RSA PRIVATE KEY-----\nMIIE":                                      "MIIE",
	"Authorization: Bearer abc.def.ghi":                                              "abc.def",
	"GET https://sts/?X-Amz-Signature=00ff&X-Amz-Security-Token=IQoJb3JpZ2lu&A=b":    "IQoJ",
	"X-Amz-Security-Token: IQoJb3JpZ2lu":                                             "IQoJ",
	`{"AccessKeyId":"ASIA","SecretAccessKey":"wJalrXUtnFEMI","SessionToken":"IQoJ"}`: "wJalr",
	"client-key-data: LS0tLS1CRUdJTg==":                                              "LS0tLS1",
	"Credential=ASIA/x, SignedHeaders=host, Signature=0123456789abcdef0123456789":    "0123456789abcdef01",
	`"token-secret":"MDEyMzQ1Njc4OWFiY2RlZg=="`:                                      "MDEyMzQ1",
}

func TestText(t *testing.T) {
	for text, hidden := range secret {
		got := redact.Text(text)
		if strings.Contains(got, hidden) || !strings.Contains(got, redact.Mark) {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, plain := range []string{
		"ip-10-99-0-12.us-west-2.compute.internal", "i-0123456789abcdef0", "token abcdef published", "1.2.3", "/joinery/demo/join",
		"arn:aws:sts::123456789012:assumed-role/node/i-0123456789abcdef0",
	} {
		if got := redact.Text(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("cause")
	const canary = "canary-in-a-cage"
	in64 := base64.StdEncoding.EncodeToString([]byte(canary))
	err := redact.Error(fmt.Errorf("value '%s' (%s): %w", canary, in64, cause), canary, "short")
	if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), in64) || !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if redact.Error(nil, canary) != nil || redact.Error(cause, canary) != cause {
		t.Error("an error without a secret is not left alone")
	}
}

func FuzzText(f *testing.F) {
	for text := range secret {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := redact.Text(text)
		if strings.Contains(redact.Text(text+" abcdef.0123456789abcdef"), " abcdef.0123456789abcdef") {
			t.Errorf("a token after %q came through", text)
		}
		_ = redact.Text(once)
	})
}

// What was quoted before holds no secret either.
func TestQuotedTextKeepsSecrets(t *testing.T) {
	const token, key = "abcdef.0123456789abcdef", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
	for _, s := range []string{
		"x\n" + token, "\t" + token, "\x00" + token, "\u2028" + token, "x " + token, `{"SecretAccessKey":"` + key + `","SessionToken":"` + key + `"}`,
	} {
		for range 3 {
			s = strconv.Quote(s)
			if got := redact.Text(s); strings.Contains(got, token) || strings.Contains(got, key) {
				t.Errorf("%s becomes %s", s, got)
			}
		}
	}
}
