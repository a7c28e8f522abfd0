package redact_test

import (
	"testing"

	"github.com/joinery/joinery/internal/redact"
)

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		"":                               "",
		"joinery-agent":                  "joinery-agent",
		"/srv/files/containerd.tar.gz":   "/srv/files/containerd.tar.gz",
		"https://host:8443/a/b.tar.gz":   "https://host:8443/a/b.tar.gz",
		"https://user:s3cret@host/x":     "https://[redacted]@host/x",
		"https://s3cret@host/x":          "https://[redacted]@host/x",
		"ftp://user:s3cret@host":         "ftp://[redacted]@host",
		"user:s3cret@host/x":             "[redacted]@host/x",
		"https:/user:s3cret@host/x":      "[redacted]@host/x",
		"user:s3://cret@host":            "[redacted]@host",
		"https://user:s3cret%zz@host":    "https://[redacted]@host",
		"https://user:s3@cret@host/x":    "https://[redacted]@host/x",
		"https://user:s3/cret@host/x":    "https://[redacted]@host/x",
		"https://user:s3?cret@host/x":    "https://[redacted]",
		"https://user:s3\ncret@host/x":   "https://[redacted]@host/x",
		"https://user:s3cret%40host/x":   "https://[redacted]@host/x",
		" https://user:s3cret@host/a b":  " https://[redacted]@host/a b",
		"https://host/x?X-Amz-Sig=s3":    "https://host/x?[redacted]",
		"https://host/x?a=/b/c#s3cret":   "https://host/x?[redacted]",
		"https://host/x#s3cret":          "https://host/x#[redacted]",
		"https://u:s3cret@host/x?s=s3cr": "https://[redacted]@host/x?[redacted]",
		"https://host/x?user=a@s3cret?b": "https://[redacted]",
		"runc?X-Amz-Signature=s3cret":    "runc?[redacted]",
	} {
		if got := redact.Address(address); got != want {
			t.Errorf("%q becomes %q, want %q", address, got, want)
		}
	}
}
