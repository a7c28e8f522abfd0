package apiserver

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/cert"

	"github.com/joinery/joinery/controlplane/health"
)

// Certificate is the client certificate of a kubeconfig.
type Certificate struct {
	file string
	data []byte
}

// At returns the certificate in a file.
func At(file string) Certificate { return Certificate{file: file} }

// ExpiredError reports that a certificate is out of date.
type ExpiredError struct {
	// Expired is when it ended.
	Expired time.Time
}

// Error names the time.
func (e *ExpiredError) Error() string {
	return "expired at " + e.Expired.UTC().Format(time.RFC3339)
}

// Read returns the certificate as it is now. It is nil when the kubeconfig has
// another credential than a certificate.
func (c Certificate) Read() (*x509.Certificate, error) {
	text := c.data
	if len(text) == 0 && c.file == "" {
		return nil, nil
	}
	if len(text) == 0 {
		var err error
		if text, err = os.ReadFile(c.file); err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
	}
	all, err := cert.ParseCertsPEM(text)
	if err != nil {
		return nil, fmt.Errorf("parse client certificate %s: %w", c.file, err)
	}
	return all[0], nil
}

// Check looks whether the certificate can be used now. The error is an
// *ExpiredError for one that is out of date.
func (c Certificate) Check() health.Check {
	return health.Check{Name: "client-certificate", Look: func(context.Context) (string, error) {
		now, err := c.Read()
		switch {
		case err != nil:
			return "", err
		case now == nil:
			return "none: the kubeconfig has another credential", nil
		case time.Now().After(now.NotAfter):
			return "", &ExpiredError{now.NotAfter}
		case time.Now().Before(now.NotBefore):
			return "", fmt.Errorf("not valid before %s: is the clock right?", now.NotBefore.UTC().Format(time.RFC3339))
		}
		return "until " + now.NotAfter.UTC().Format(time.RFC3339), nil
	}}
}

// Register shows when the certificate expires; 0 for one that cannot be read. It
// shows nothing for another credential.
func (c Certificate) Register(reg prometheus.Registerer) {
	if len(c.data) == 0 && c.file == "" {
		return
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "joinery_client_certificate_expiry_timestamp_seconds",
		Help: "When the controller's client certificate expires; 0 while it cannot be read.",
	}, func() float64 {
		now, err := c.Read()
		if err != nil || now == nil {
			return 0
		}
		return float64(now.NotAfter.Unix())
	}))
}
