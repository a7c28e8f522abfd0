package token

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Names in a bootstrap token Secret, from the Kubernetes documentation,
// "Authenticating with Bootstrap Tokens".
const (
	namePrefix     = "bootstrap-token-"
	keyID          = "token-id"
	keySecret      = "token-secret"
	keyExpiration  = "expiration"
	keyUsageAuth   = "usage-bootstrap-authentication"
	keyUsageSign   = "usage-bootstrap-signing"
	keyGroups      = "auth-extra-groups"
	keyDescription = "description"
)

// issuedAnnotation is when a token was made. The creation timestamp is the API
// server's clock; the rotation's arithmetic stays on one clock.
const issuedAnnotation = "joinery.dev/issued-at"

// alphabet of bootstrap tokens.
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// generate makes a token of 6 and 16 characters, 36^16 (82 bits) to guess.
func generate() (v1alpha1.Secret, error) {
	out := make([]byte, 0, 22)
	for buf := make([]byte, 32); len(out) < cap(out); {
		if _, err := rand.Read(buf); err != nil {
			return "", fmt.Errorf("generate token: %w", err)
		}
		for _, b := range buf {
			// 252 is the largest multiple of 36 in a byte: higher values would
			// make the first letters likelier.
			if b < 252 && len(out) < cap(out) {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return v1alpha1.Secret(string(out[:6]) + "." + string(out[6:])), nil
}

func tokenID(text v1alpha1.Secret) string {
	id, _, _ := strings.Cut(text.Reveal(), ".")
	return id
}

// newSecret returns the Secret of a token. Its only usage is authentication: a
// token that may also sign cluster-info would let its holder impersonate the
// API server to nodes that do not pin the CA.
func newSecret(cluster string, text v1alpha1.Secret, issued, expires time.Time) *corev1.Secret {
	id, secret, _ := strings.Cut(text.Reveal(), ".")
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: namePrefix + id, Namespace: metav1.NamespaceSystem,
			Labels:      map[string]string{v1alpha1.ClusterLabel: cluster},
			Annotations: map[string]string{issuedAnnotation: issued.UTC().Format(time.RFC3339)},
		},
		Type: corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			keyID: []byte(id), keySecret: []byte(secret),
			keyExpiration:  []byte(expires.UTC().Format(time.RFC3339)),
			keyUsageAuth:   []byte("true"),
			keyGroups:      []byte(v1alpha1.BootstrapGroup),
			keyDescription: []byte("Join token of cluster " + cluster + ", made and deleted by joinery-controller"),
		},
	}
}

// parse reads one of our own token Secrets; false is somebody else's, which is
// never touched.
func parse(s *corev1.Secret, cluster string) (Token, bool) {
	id := string(s.Data[keyID])
	if s.Type != corev1.SecretTypeBootstrapToken || s.Labels[v1alpha1.ClusterLabel] != cluster || s.Name != namePrefix+id {
		return Token{}, false
	}
	t := Token{ID: id, UID: string(s.UID), Text: v1alpha1.Secret(id + "." + string(s.Data[keySecret]))}
	var err error
	if t.Issued, err = time.Parse(time.RFC3339, s.Annotations[issuedAnnotation]); err != nil {
		t.Issued, t.Altered = s.CreationTimestamp.Time, true
	}
	// No expiration would mean for ever: such a token is past its end for us.
	if t.Expires, err = time.Parse(time.RFC3339, string(s.Data[keyExpiration])); err != nil {
		t.Expires, t.Altered = t.Issued, true
	}
	if string(s.Data[keyUsageAuth]) != "true" || string(s.Data[keyGroups]) != v1alpha1.BootstrapGroup || len(s.Data[keyUsageSign]) > 0 {
		t.Altered = true
	}
	return t, true
}
