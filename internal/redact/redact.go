// Package redact keeps secrets out of what people read. It is the last line: what
// handles a secret knows it and does not print it, but the text of an error comes
// from elsewhere, and a service that refuses a value may well repeat it.
package redact

import (
	"encoding/base64"
	"regexp"
	"strings"
)

// Mark stands where a secret stood.
const Mark = "[redacted]"

// patterns are the secrets that can be told by their form: bootstrap tokens, private
// keys (to the end of the text if that is cut off), credentials of HTTP requests,
// and what is secret or bearing in signed AWS requests and AWS credentials. Text that was
// quoted before it came here has a backslash before its quotes, and letters for what is
// not printable, which may stand right before a token.
var patterns = regexp.MustCompile(`(?:\b|\\[abfnrtv]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})[a-z0-9]{6}\.[a-z0-9]{16}\b` +
	`|(?s:-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))` +
	`|(?:client-key-data|token-secret|"?SecretAccessKey"?|"?SessionToken"?|aws_secret_access_key|aws_session_token)\\*["']?\s*[:=]\s*\\*["']?[^\s"'\\,}]+` +
	`|(?i:Bearer +\S+)` +
	`|(?i:X-Amz-(?:Signature|Security-Token)(?:=|%3D|: *)[^&\s"']+)` +
	`|\bSignature=[0-9a-f]{16,}`)

// Text returns s without the secrets that can be told by their form.
func Text(s string) string { return patterns.ReplaceAllString(s, Mark) }

// Error returns err with a text from which the given secrets are taken, in clear and
// in base64, and those that can be told by their form. What errors.Is and errors.As
// find in it stays. A nil error stays nil.
func Error(err error, secrets ...string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	clean := text
	for _, s := range secrets {
		// Anything shorter would stand in texts by chance.
		if len(s) < 8 {
			continue
		}
		clean = strings.ReplaceAll(clean, s, Mark)
		clean = strings.ReplaceAll(clean, base64.StdEncoding.EncodeToString([]byte(s)), Mark)
	}
	if clean = Text(clean); clean == text {
		return err
	}
	return &redacted{text: clean, err: err}
}

// redacted says something else than the error in it.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }
