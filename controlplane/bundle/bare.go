package bundle

import (
	"bytes"
	"context"
	"regexp"

	"github.com/joinery/joinery/api/v1alpha1"
)

// BareStore is an SSM parameter that holds nothing but a bootstrap token, for
// user data that runs "kubeadm join --token". A bundle that it returns knows its
// cluster and its token; the rest is in the token's Secret.
type BareStore struct {
	parameter parameter
	cluster   string
}

// NewBareStore returns the store of cluster's bare token in the parameter of
// that name, encrypted with keyID, or with the account's default key when that
// is empty. The parameter must be new or a SecureString: SSM changes no types.
func NewBareStore(client parameters, cluster, name, keyID string) *BareStore {
	return &BareStore{cluster: cluster, parameter: parameter{
		client: client, name: name, keyID: keyID, description: "Bootstrap token of cluster " + cluster + " for old user data, written by joinery-controller", written: &lastWrite{},
	}}
}

// bareToken is the form of a bootstrap token (Kubernetes: "Authenticating with
// Bootstrap Tokens").
var bareToken = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// Get returns the token. Errors that a caller may decide on are *NotFoundError
// and *NotOursError; what is no token is somebody else's and never shown.
func (s *BareStore) Get(ctx context.Context) (Stored, error) {
	v, err := s.parameter.read(ctx)
	if err != nil {
		return Stored{}, err
	}
	text := bytes.TrimSpace(v.text)
	if !bareToken.Match(text) {
		return Stored{}, &NotOursError{Parameter: s.parameter.name, Field: "value", Want: "a bootstrap token", Got: "something else"}
	}
	b := &v1alpha1.JoinBundle{Cluster: s.cluster, Token: v1alpha1.Secret(text)}
	return Stored{Bundle: b, Version: v.version, Modified: v.modified}, nil
}

// Check says why the token of b could not be put, or nil.
func (s *BareStore) Check(b *v1alpha1.JoinBundle) error {
	if !bareToken.MatchString(b.Token.Reveal()) {
		return &v1alpha1.InvalidError{Kind: v1alpha1.KindJoinBundle, Problems: []v1alpha1.Problem{{Field: "token", Detail: "expected a bootstrap token"}}}
	}
	return nil
}

// Put publishes the token of b as Store.Put does a bundle.
func (s *BareStore) Put(ctx context.Context, b *v1alpha1.JoinBundle) (int64, error) {
	if err := s.Check(b); err != nil {
		return 0, err
	}
	return s.parameter.write(ctx, []byte(b.Token.Reveal()))
}
