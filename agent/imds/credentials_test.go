package imds_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/joinery/joinery/agent/imds"
	"github.com/joinery/joinery/lab/awssim"
)

func TestInstanceIdentity(t *testing.T) {
	w, i, c := world(t, awssim.InstanceSpec{})
	got, err := c.InstanceIdentity(t.Context())
	if err != nil || !strings.HasPrefix(got.AccessKeyID, "ASIA") || !got.Expires.After(time.Now()) {
		t.Fatalf("got %v, %v", got, err)
	}
	seen := fmt.Sprintf("%v %+v %#v %q %x", got, got, got, got, got) + got.LogValue().String()
	if encoded, err := json.Marshal(got); err == nil {
		seen += string(encoded)
	}
	for _, secret := range []string{got.SecretAccessKey.Reveal(), got.SessionToken.Reveal()} {
		if secret == "" || strings.Contains(seen, secret) || strings.Contains(seen, fmt.Sprintf("%x", secret)) {
			t.Errorf("a secret is printed or missing")
		}
	}
	w.SetInstanceIdentity(i.ID, false)
	if _, err := c.InstanceIdentity(t.Context()); !errors.Is(err, imds.ErrAbsent) {
		t.Errorf("where EC2 serves none: got %v", err)
	}
	w.SetInstanceIdentity(i.ID, true)
	remove := w.Inject(awssim.Fault{Service: "imds", Action: "/latest/meta-data/identity-credentials", Status: http.StatusServiceUnavailable, Code: "x"})
	var unavailable *imds.UnavailableError
	if _, err := c.InstanceIdentity(t.Context()); !errors.As(err, &unavailable) || errors.Is(err, imds.ErrAbsent) {
		t.Errorf("without an answer: got %v", err)
	}
	remove()
}

func TestParseCredentials(t *testing.T) {
	now := time.Date(2026, time.November, 28, 0, 0, 0, 0, time.UTC)
	const good = `{"Code":"Success","LastUpdated":"2026-11-28T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"hidden-key","Token":"hidden-token","Expiration":"2026-11-28T06:00:00Z"}`
	got, err := imds.ParseCredentials([]byte(good), now)
	if err != nil || got.AccessKeyID != "ASIAEXAMPLE" || got.SecretAccessKey.Reveal() != "hidden-key" || got.SessionToken.Reveal() != "hidden-token" || !got.Expires.Equal(now.Add(6*time.Hour)) {
		t.Errorf("got %v, %v", got, err)
	}
	for name, test := range map[string]struct {
		text    string
		now     time.Time
		invalid bool
	}{
		"empty":             {"", now, true},
		"no JSON":           {"<html>hidden-key", now, true},
		"another type":      {`{"Code":"Success","AccessKeyId":7,"SecretAccessKey":"hidden-key"}`, now, true},
		"no time":           {strings.Replace(good, "2026-11-28T06:00:00Z", "soon", 1), now, true},
		"no key id":         {strings.Replace(good, "ASIAEXAMPLE", "", 1), now, true},
		"no secret":         {strings.Replace(good, "SecretAccessKey", "Other", 1), now, true},
		"no token":          {strings.Replace(good, `"Token"`, `"Other"`, 1), now, true},
		"not yet":           {`{"Code":"AssumeRoleUnauthorizedAccess","Message":"x"}`, now, false},
		"ended":             {good, now.Add(6 * time.Hour), false},
		"empty document":    {"{}", now, false},
		"control character": {strings.Replace(good, "Success", "hidden-key\x00", 1), now, true},
	} {
		_, err := imds.ParseCredentials([]byte(test.text), test.now)
		var wrong *imds.InvalidError
		var unavailable *imds.UnavailableError
		if test.invalid != errors.As(err, &wrong) || test.invalid == errors.As(err, &unavailable) {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error repeats the credentials: %v", name, err)
		}
	}
}

func FuzzParseCredentials(f *testing.F) {
	f.Add([]byte(`{"Code":"Success","AccessKeyId":"a","SecretAccessKey":"b","Token":"c","Expiration":"2026-11-28T06:00:00Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Date(2026, time.November, 28, 0, 0, 0, 0, time.UTC)
		c, err := imds.ParseCredentials(data, now)
		if err == nil && (c.AccessKeyID == "" || c.SecretAccessKey == "" || c.SessionToken == "" || !c.Expires.After(now)) {
			t.Errorf("accepted %v", c)
		}
	})
}
