package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/joinery/joinery/controlplane/apiserver"
)

// tooLong is how long a client certificate of the controller may last. Kubernetes
// revokes none: a stolen one is worth something until it ends.
const tooLong = 7 * 24 * time.Hour

// soonOver is how little of it may be left: it is renewed hours before.
const soonOver = 10 * time.Hour

const mendCredential = "on this control-plane node: systemctl enable --now joinery-credentials.timer; systemctl start joinery-credentials; journalctl -u joinery-credentials"

// clientCertificate looks at the controller's own certificate on this machine.
func clientCertificate(_ context.Context, c Cluster, now time.Time) ([]Finding, error) {
	if c.Kubeconfig == "" {
		return []Finding{{Level: Skipped, Found: "the controller's certificate was not looked at: that takes --config, on a control-plane node, as root"}}, nil
	}
	named, err := apiserver.CertificateOf(c.Kubeconfig)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{{Level: Skipped, Found: "the controller's certificate was not looked at, that takes root: " + err.Error()}}, nil
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{{Level: Skipped, Found: "the controller's kubeconfig is not on this machine: " + err.Error()}}, nil
	case err != nil:
		return nil, err
	}
	certificate, err := named.Read()
	return judgeCertificate(certificate, err, now), nil
}

func judgeCertificate(c *x509.Certificate, err error, now time.Time) []Finding {
	const why = "the controller of this control-plane node cannot lead, and when that is so on each, no node can join"
	switch {
	case err != nil:
		return []Finding{{Level: Broken, Found: err.Error(), Why: why, Mend: mendCredential}}
	case c == nil:
		return well("the controller's kubeconfig has no certificate but another credential")
	case !now.Before(c.NotAfter):
		return []Finding{{Level: Broken, Found: "the controller's certificate ended at " + c.NotAfter.UTC().Format(time.RFC3339), Why: why, Mend: mendCredential}}
	case c.NotAfter.Sub(now) < soonOver:
		return []Finding{{Level: Warning, Found: fmt.Sprintf("the controller's certificate ends in %s and is not renewed", c.NotAfter.Sub(now).Round(time.Minute)), Why: why, Mend: mendCredential}}
	case c.NotAfter.Sub(c.NotBefore) > tooLong:
		return []Finding{{Level: Warning, Found: fmt.Sprintf("the controller's certificate lasts %d days", int(c.NotAfter.Sub(c.NotBefore).Hours()/24)),
			Why: "a stolen one cannot be revoked: it is worth what the controller may do until it ends", Mend: mendCredential}}
	}
	return well("the controller's certificate lasts until %s, and is renewed before", c.NotAfter.UTC().Format(time.RFC3339))
}
