// Package bundle keeps the join bundle in SSM: it assembles one from the
// cluster's own facts, writes it as a SecureString and reads it back.
package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/api/v1alpha1"
)

// NotFoundError says that nothing has been published yet.
type NotFoundError struct{ Parameter string }

// Error names the parameter.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("parameter %s does not exist", e.Parameter)
}

// NotOursError says that the parameter holds something of somebody else, which
// is never overwritten.
type NotOursError struct {
	// Parameter that was read.
	Parameter string
	// Field that says so, such as cluster or apiVersion.
	Field string
	// Want and Got are what should stand there and what does.
	Want, Got string
}

// Error names the parameter and its field.
func (e *NotOursError) Error() string {
	return fmt.Sprintf("parameter %s: %s: %q: expected %q; it is left alone: delete it or set spec.bundle.parameter",
		e.Parameter, e.Field, e.Got, e.Want)
}

type parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
	PutParameter(context.Context, *ssm.PutParameterInput, ...func(*ssm.Options)) (*ssm.PutParameterOutput, error)
}

// Store is the SSM parameter of one cluster.
type Store struct {
	client    parameters
	cluster   string
	parameter string
	keyID     string
}

// NewStore returns the store of cluster in parameter, encrypted with keyID, or
// with the account's default key when that is empty.
func NewStore(client parameters, cluster, parameter, keyID string) *Store {
	return &Store{client: client, cluster: cluster, parameter: parameter, keyID: keyID}
}

// Get returns what is published. Errors that a caller may decide on are
// *NotFoundError, *NotOursError and *v1alpha1.InvalidError, the last for text
// that no agent could read either.
func (s *Store) Get(ctx context.Context) (*v1alpha1.JoinBundle, error) {
	text, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	b, err := v1alpha1.DecodeJoinBundle(text)
	var foreign *v1alpha1.VersionError
	if errors.As(err, &foreign) {
		return nil, s.foreign(foreign, err)
	}
	if err != nil {
		if named := clusterOf(text); named != "" && named != s.cluster {
			return nil, s.otherCluster(named)
		}
		return nil, fmt.Errorf("read parameter %s: %w", s.parameter, err)
	}
	if b.Cluster != s.cluster {
		return nil, s.otherCluster(b.Cluster)
	}
	return b, nil
}

func (s *Store) otherCluster(named string) error {
	return &NotOursError{Parameter: s.parameter, Field: "cluster", Want: s.cluster, Got: named}
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
		return &NotOursError{Parameter: s.parameter, Field: "apiVersion", Want: v1alpha1.GroupVersion, Got: v.APIVersion}
	default:
		return &NotOursError{Parameter: s.parameter, Field: "kind", Want: v1alpha1.KindJoinBundle, Got: v.Kind}
	}
}

func (s *Store) read(ctx context.Context) ([]byte, error) {
	out, err := s.client.GetParameter(ctx, &ssm.GetParameterInput{Name: &s.parameter, WithDecryption: aws.Bool(true)})
	var absent *types.ParameterNotFound
	if errors.As(err, &absent) {
		return nil, &NotFoundError{Parameter: s.parameter}
	}
	if err != nil {
		return nil, fmt.Errorf("get parameter %s: %w", s.parameter, err)
	}
	if out.Parameter == nil {
		return nil, &NotFoundError{Parameter: s.parameter}
	}
	return []byte(aws.ToString(out.Parameter.Value)), nil
}

// Put publishes b and reads it back, so that nil means that a booting node gets
// exactly this.
func (s *Store) Put(ctx context.Context, b *v1alpha1.JoinBundle) error {
	if b.Cluster != s.cluster {
		return &v1alpha1.OtherClusterError{Want: s.cluster, Got: b.Cluster}
	}
	text, err := b.Encode()
	if err != nil {
		return err
	}
	in := &ssm.PutParameterInput{
		Name: &s.parameter, Value: aws.String(string(text)), Overwrite: aws.Bool(true),
		Type: types.ParameterTypeSecureString, Tier: types.ParameterTierStandard,
		Description: aws.String("Join bundle of cluster " + s.cluster + ", written by joinery-controller"),
	}
	if s.keyID != "" {
		in.KeyId = &s.keyID
	}
	if _, err := s.client.PutParameter(ctx, in); err != nil {
		return fmt.Errorf("put parameter %s: %w", s.parameter, err)
	}
	back, err := s.read(ctx)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	if !bytes.Equal(back, text) {
		return fmt.Errorf("read back parameter %s: it holds something else than was put", s.parameter)
	}
	return nil
}

// Cluster is what nodes are told about the cluster itself.
type Cluster struct {
	// Name of the cluster.
	Name string
	// Endpoint of the API server, host:port.
	Endpoint string
	// CACert in PEM.
	CACert string
	// KubernetesVersion of the control plane, such as v1.37.2.
	KubernetesVersion string
}

// Bundle returns the bundle that offers token to the nodes of c.
func (c Cluster) Bundle(token v1alpha1.Secret, issued, expires time.Time) *v1alpha1.JoinBundle {
	return &v1alpha1.JoinBundle{
		Cluster: c.Name, Endpoint: c.Endpoint, CACert: c.CACert, KubernetesVersion: c.KubernetesVersion,
		Token: token, IssuedAt: issued, ExpiresAt: expires,
	}
}

// Says reports in which field b tells nodes something else about the cluster
// than c would, or "".
func (c Cluster) Says(b *v1alpha1.JoinBundle) string {
	switch {
	case b.Endpoint != c.Endpoint:
		return "endpoint"
	case b.CACert != c.CACert:
		return "caCert"
	case b.KubernetesVersion != c.KubernetesVersion:
		return "kubernetesVersion"
	}
	return ""
}

type versioner interface {
	ServerVersion() (*version.Info, error)
}

// Source reads the facts of a cluster anew each time, so that a new CA or an
// upgraded control plane is noticed.
type Source struct {
	// Name and Endpoint are as configured.
	Name, Endpoint string
	// CAFile holds the cluster's CA in PEM.
	CAFile string
	// Version asks the API server for its version.
	Version versioner
}

// Cluster returns the facts as they are now.
func (s Source) Cluster() (Cluster, error) {
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		return Cluster{}, fmt.Errorf("read cluster CA: %w", err)
	}
	v, err := s.Version.ServerVersion()
	if err != nil {
		return Cluster{}, fmt.Errorf("ask for kubernetes version: %w", err)
	}
	return Cluster{Name: s.Name, Endpoint: s.Endpoint, CACert: string(bytes.TrimSpace(ca)), KubernetesVersion: v.GitVersion}, nil
}
