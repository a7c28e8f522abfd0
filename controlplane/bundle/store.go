package bundle

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
)

// Store is the SSM parameter with the join bundle of one cluster.
type Store struct {
	parameter parameter
	cluster   string
}

// NewStore returns the store of cluster in the parameter of that name, encrypted
// with keyID, or with the account's default key when that is empty.
func NewStore(client parameters, cluster, name, keyID string) *Store {
	return &Store{cluster: cluster, parameter: parameter{
		client: client, name: name, keyID: keyID, description: "Join bundle of cluster " + cluster + ", written by joinery-controller", written: &lastWrite{},
	}}
}

// Get returns what is published. Errors that a caller may decide on are
// *NotFoundError, *NotOursError and *v1alpha1.InvalidError, the last for text
// that no agent could read either; its version is returned all the same.
func (s *Store) Get(ctx context.Context) (Stored, error) {
	v, err := s.parameter.read(ctx)
	if err != nil {
		return Stored{}, err
	}
	b, err := s.decode(v.text)
	return Stored{Bundle: b, Version: v.version, Modified: v.modified}, err
}

func (s *Store) decode(text []byte) (*v1alpha1.JoinBundle, error) {
	b, err := v1alpha1.DecodeJoinBundle(text)
	var foreign *v1alpha1.VersionError
	if errors.As(err, &foreign) {
		return nil, s.foreign(foreign, err)
	}
	if err != nil {
		if named := clusterOf(text); named != "" && named != s.cluster {
			return nil, s.otherCluster(named)
		}
		return nil, fmt.Errorf("read parameter %s: %w", s.parameter.name, err)
	}
	if b.Cluster != s.cluster {
		return nil, s.otherCluster(b.Cluster)
	}
	return b, nil
}

func (s *Store) otherCluster(named string) error {
	return &NotOursError{Parameter: s.parameter.name, Field: "cluster", Want: s.cluster, Got: named}
}

// clusterOf returns the cluster that a bundle names which does not decode, as
// one with a field of a later release: it is somebody's all the same.
func clusterOf(text []byte) string {
	var b struct {
		Cluster string `json:"cluster"`
	}
	if err := yaml.Unmarshal(text, &b); err != nil {
		return ""
	}
	return b.Cluster
}

// foreign tells a document of another kind or version, which somebody meant,
// from one that says nothing about itself, such as a placeholder made by a
// provisioning tool.
func (s *Store) foreign(v *v1alpha1.VersionError, err error) error {
	switch {
	case v.APIVersion == "" && v.Kind == "":
		return &v1alpha1.InvalidError{Kind: v1alpha1.KindJoinBundle, Problems: []v1alpha1.Problem{{Detail: err.Error()}}}
	case v.APIVersion != v1alpha1.GroupVersion:
		return &NotOursError{Parameter: s.parameter.name, Field: "apiVersion", Want: v1alpha1.GroupVersion, Got: v.APIVersion}
	default:
		return &NotOursError{Parameter: s.parameter.name, Field: "kind", Want: v1alpha1.KindJoinBundle, Got: v.Kind}
	}
}

// Check says why b could not be put, or nil. Errors are *v1alpha1.InvalidError,
// *v1alpha1.BundleSizeError and *v1alpha1.OtherClusterError.
func (s *Store) Check(b *v1alpha1.JoinBundle) error {
	_, err := s.encode(b)
	return err
}

func (s *Store) encode(b *v1alpha1.JoinBundle) ([]byte, error) {
	if b.Cluster != s.cluster {
		return nil, &v1alpha1.OtherClusterError{Want: s.cluster, Got: b.Cluster}
	}
	return b.Encode()
}

// Put publishes b and reads it back, so that nil means that a booting node gets
// exactly this, and returns the version of the parameter that it made. After
// the deadline of ctx, by the monotonic or by the wall clock, it sends nothing
// and returns a *LateError.
func (s *Store) Put(ctx context.Context, b *v1alpha1.JoinBundle) (int64, error) {
	text, err := s.encode(b)
	if err != nil {
		return 0, err
	}
	return s.parameter.write(ctx, text)
}
