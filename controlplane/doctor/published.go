package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// parameters is the part of the SSM client that is used.
type parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Published is where nodes find their join bundle.
type Published struct {
	// Parameters is SSM in the cluster's region.
	Parameters parameters
	// Name of the parameter.
	Name string
}

const mendBundle = "joinery token rotate"

// joinBundle looks at what a node that boots now would find.
func joinBundle(ctx context.Context, c Cluster, now time.Time) ([]Finding, error) {
	if c.Published == nil {
		return []Finding{{Level: Skipped, Found: "the published join bundle was not looked at: no --config was given"}}, nil
	}
	b, found, err := c.Published.read(ctx)
	if b == nil {
		return found, err
	}
	found = append(found, judgeBundle(b, c.Name, now)...)
	token, err := judgePublishedToken(ctx, c, b)
	if err != nil {
		return found, err
	}
	return append(append(found, token...), judgeDial(b.Endpoint, handshake(ctx, b))...), nil
}

// read returns the bundle, or findings or an error that say why there is none.
func (p *Published) read(ctx context.Context) (*v1alpha1.JoinBundle, []Finding, error) {
	out, err := p.Parameters.GetParameter(ctx, &ssm.GetParameterInput{Name: &p.Name, WithDecryption: aws.Bool(true)})
	var absent *types.ParameterNotFound
	if errors.As(err, &absent) {
		return nil, []Finding{{Level: Broken, Found: "parameter " + p.Name + " does not exist", Why: "a node that boots now cannot join", Mend: mendBundle}}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("get parameter %s: %w", p.Name, err)
	}
	var found []Finding
	if out.Parameter.Type != types.ParameterTypeSecureString {
		found = append(found, Finding{Level: Unsafe, Found: fmt.Sprintf("parameter %s is a %s, not a SecureString", p.Name, out.Parameter.Type),
			Why: "its token is readable without the right to any key", Mend: "aws ssm delete-parameter --name " + p.Name + " && " + mendBundle})
	}
	b, err := v1alpha1.DecodeJoinBundle([]byte(aws.ToString(out.Parameter.Value)))
	if err != nil {
		return nil, append(found, Finding{Level: Broken, Found: fmt.Sprintf("parameter %s holds no join bundle: %v", p.Name, err),
			Why: "a node that boots now cannot join", Mend: "aws ssm delete-parameter --name " + p.Name + " && " + mendBundle}), nil
	}
	return b, found, nil
}

// judgeBundle says what a node would say about the bundle, and whether rotation
// is late.
func judgeBundle(b *v1alpha1.JoinBundle, cluster string, now time.Time) []Finding {
	left := b.ExpiresAt.Sub(now).Round(time.Minute)
	if err := b.Usable(cluster, now); err != nil {
		return []Finding{{Level: Broken, Found: "the published join bundle is of no use: " + err.Error(), Why: "a node that boots now cannot join", Mend: mendBundle}}
	}
	if 3*left < b.ExpiresAt.Sub(b.IssuedAt) {
		return []Finding{{Level: Warning, Found: fmt.Sprintf("token %s of the published join bundle has only %s left", b.TokenID(), left),
			Why: "rotation is late: when the token is gone, nodes cannot join", Mend: mendBundle}}
	}
	return well("the published join bundle has token %s with %s left, for %s", b.TokenID(), left, b.Endpoint)
}

// judgePublishedToken looks whether the API server knows the token.
func judgePublishedToken(ctx context.Context, c Cluster, b *v1alpha1.JoinBundle) ([]Finding, error) {
	_, err := c.Client.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, kube.BootstrapTokenSecretName(b.TokenID()), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return []Finding{{Level: Broken, Found: "the cluster does not know the published token " + b.TokenID(), Why: "a node that boots now cannot join", Mend: mendBundle}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for token %s: %w", b.TokenID(), err)
	}
	return nil, nil
}

// handshake connects to the API server as a node does, which trusts the bundle's
// CA and nothing else.
func handshake(ctx context.Context, b *v1alpha1.JoinBundle) error {
	host, _, err := net.SplitHostPort(b.Endpoint)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.CACert))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", b.Endpoint)
	if err != nil {
		return err
	}
	return conn.Close()
}

func judgeDial(endpoint string, err error) []Finding {
	var untrusted *tls.CertificateVerificationError
	switch {
	case err == nil:
		return well("%s answers with a certificate of the published CA", endpoint)
	case errors.As(err, &untrusted):
		return []Finding{{Level: Broken, Found: fmt.Sprintf("what answers at %s is not of the published CA: %v", endpoint, untrusted.Err),
			Why:  "nodes refuse it; somebody may be in between, or the CA or the name is not the API server's",
			Mend: "openssl s_client -connect " + endpoint + " -showcerts </dev/null, and compare with spec.caFile and spec.endpoint of the ControllerConfig"}}
	default:
		return []Finding{{Level: Unknown, Found: fmt.Sprintf("%s does not answer from here: %v", endpoint, err),
			Why: "nodes may reach it all the same, or not", Mend: "joinery doctor on a master"}}
	}
}
