package token

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

const (
	// issuedAnnotation is when a token was made. The creation timestamp is the
	// API server's clock; the rotation's arithmetic stays on one clock.
	issuedAnnotation = "joinery.dev/issued-at"
	// requestsAnnotation holds the ids of the requests that a token was made
	// for, so that a leader who takes over makes no second one.
	requestsAnnotation = "joinery.dev/requests"
	// purposeLabel is the token's Purpose.
	purposeLabel = "joinery.dev/purpose"
)

// Purpose is what tokens are for. A Rotator sees none of another purpose.
type Purpose string

const (
	// Join tokens are published in join bundles and used by agents.
	Join Purpose = ""
	// Legacy tokens are published bare, for old user data that runs
	// "kubeadm join --token".
	Legacy Purpose = "legacy"
)

func (p Purpose) group() string {
	if p == Legacy {
		return v1alpha1.LegacyBootstrapGroup
	}
	return v1alpha1.BootstrapGroup
}

// signs says whether tokens may sign cluster-info, by which kubeadm discovers a
// cluster with a token. A token that may would let its holder impersonate the
// API server to nodes that do not pin the CA.
func (p Purpose) signs() bool { return p == Legacy }

// alphabet of bootstrap tokens.
const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// sample has the form of a token and is none.
const sample v1alpha1.Secret = "aaaaaa.aaaaaaaaaaaaaaaa"

// generate makes a token of that id: 16 more characters, 36^16 (82 bits) to guess.
func generate(id string) (v1alpha1.Secret, error) {
	out := make([]byte, 0, 16)
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
	return v1alpha1.Secret(id + "." + string(out)), nil
}

// NewSecret returns the Secret of a new token of the cluster with that id, as a
// Rotator makes it.
func NewSecret(cluster string, p Purpose, id string, issued, expires time.Time) (*corev1.Secret, error) {
	text, err := generate(id)
	if err != nil {
		return nil, err
	}
	return newSecret(cluster, p, text, Decision{Issued: issued, Expires: expires}), nil
}

// newSecret returns the Secret of a token of the cluster, as decided.
func newSecret(cluster string, p Purpose, text v1alpha1.Secret, d Decision) *corev1.Secret {
	id, secret, _ := strings.Cut(text.Reveal(), ".")
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: kube.BootstrapTokenSecretName(id), Namespace: metav1.NamespaceSystem,
			Labels:      map[string]string{v1alpha1.ClusterLabel: cluster},
			Annotations: map[string]string{issuedAnnotation: d.Issued.UTC().Format(time.RFC3339)},
		},
		Type: corev1.SecretTypeBootstrapToken,
		Data: map[string][]byte{
			kube.BootstrapTokenIDKey: []byte(id), kube.BootstrapTokenSecretKey: []byte(secret),
			kube.BootstrapTokenExpirationKey:  []byte(d.Expires.UTC().Format(time.RFC3339)),
			kube.BootstrapTokenUsageAuthKey:   []byte("true"),
			kube.BootstrapTokenGroupsKey:      []byte(p.group()),
			kube.BootstrapTokenDescriptionKey: []byte("Join token of cluster " + cluster + ", made and deleted by joinery-controller"),
		},
	}
	if p != Join {
		s.Labels[purposeLabel] = string(p)
	}
	if p.signs() {
		s.Data[kube.BootstrapTokenUsageSignKey] = []byte("true")
	}
	if len(d.Requests) > 0 {
		s.Annotations[requestsAnnotation] = strings.Join(d.Requests, ",")
	}
	return s
}

// parse reads one of our own token Secrets of that purpose; false is somebody
// else's, which is never touched.
func parse(s *corev1.Secret, cluster string, p Purpose) (Token, bool) {
	id := string(s.Data[kube.BootstrapTokenIDKey])
	if s.Type != corev1.SecretTypeBootstrapToken || s.Labels[v1alpha1.ClusterLabel] != cluster ||
		Purpose(s.Labels[purposeLabel]) != p || s.Name != kube.BootstrapTokenSecretName(id) {
		return Token{}, false
	}
	t := Token{ID: id, UID: string(s.UID), Text: v1alpha1.Secret(id + "." + string(s.Data[kube.BootstrapTokenSecretKey])), Created: s.CreationTimestamp.Time}
	var err error
	if t.Issued, err = time.Parse(time.RFC3339, s.Annotations[issuedAnnotation]); err != nil {
		t.Issued, t.Altered = s.CreationTimestamp.Time, true
	}
	// No expiration would mean for ever: such a token is past its end for us.
	if t.Expires, err = time.Parse(time.RFC3339, string(s.Data[kube.BootstrapTokenExpirationKey])); err != nil {
		t.Expires, t.Altered = t.Issued, true
	}
	if requests := s.Annotations[requestsAnnotation]; requests != "" {
		t.Requests = slices.Collect(strings.SplitSeq(requests, ","))
	}
	signs := string(s.Data[kube.BootstrapTokenUsageSignKey]) == "true"
	if string(s.Data[kube.BootstrapTokenUsageAuthKey]) != "true" || string(s.Data[kube.BootstrapTokenGroupsKey]) != p.group() || signs != p.signs() {
		t.Altered = true
	}
	return t, true
}
