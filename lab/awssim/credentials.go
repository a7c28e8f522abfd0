package awssim

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// refreshBefore is how long before their end the metadata service replaces
// role credentials; AWS promises at least five minutes.
const refreshBefore = 5 * time.Minute

// session is one set of temporary credentials.
type session struct {
	key, secret, token string
	role, session      string
	made, expires      time.Time // expires is zero: never
}

// Credentials returns lasting credentials of a role, the same ones at each
// call. Its callers appear as assumed-role/<role>/lab.
func (w *World) Credentials(role string) aws.Credentials {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.roles[role]
	if s == nil {
		s = w.newSessionLocked(role, "lab", time.Time{})
		w.roles[role] = s
	}
	return aws.Credentials{AccessKeyID: s.key, SecretAccessKey: s.secret, SessionToken: s.token, Source: "awssim"}
}

func (w *World) newSessionLocked(role, name string, expires time.Time) *session {
	s := &session{
		key:    "ASIA" + strings.ToUpper(w.digestLocked("key")[:16]),
		secret: randomText(30), token: randomText(90),
		role: role, session: name, made: time.Now(), expires: expires,
	}
	w.sessions[s.key] = s
	return s
}

// instanceCredentialsLocked returns an instance's current role credentials and
// replaces them shortly before they end.
func (w *World) instanceCredentialsLocked(i *instance) *session {
	i.creds = w.renewedLocked(i.creds, i.Role, i.ID)
	return i.creds
}

// renewedLocked returns s while it is good for that role, else a session after it.
func (w *World) renewedLocked(s *session, role, name string) *session {
	now := time.Now()
	if s == nil || s.role != role || now.Add(refreshBefore).After(s.expires) {
		return w.newSessionLocked(role, name, now.Add(w.Timing.Credentials))
	}
	return s
}

// document is how the metadata service writes credentials.
func (s *session) document() string {
	return document(map[string]any{
		"Code": "Success", "LastUpdated": seconds(s.made), "Type": "AWS-HMAC", "AccessKeyId": s.key,
		"SecretAccessKey": s.secret, "Token": s.token, "Expiration": seconds(s.expires),
	})
}

// randomText is n random bytes in base64. The random source does not fail.
func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}
