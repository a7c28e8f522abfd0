// Package bundle keeps the join bundle in SSM: it assembles one from the
// cluster's own facts, writes it as a SecureString and reads it back.
package bundle

import (
	"fmt"
	"time"

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

// Stored is what a parameter holds.
type Stored struct {
	// Bundle that nodes read.
	Bundle *v1alpha1.JoinBundle
	// Version of the parameter; each write makes the next one.
	Version int64
	// Modified is when it was written, by AWS's clock.
	Modified time.Time
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
