// Package credential gives the controller of a control-plane node its credential:
// a client certificate of a day, renewed long before its end by a program that
// runs as root and can read the cluster's CA key. The controller itself can
// neither read that key nor ask for a certificate.
package credential

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// User is whom the certificate names; deploy/rbac binds its rights.
const User = "joinery-controller"

// Files in the directory.
const (
	// Kubeconfig names the other two. It holds no secret.
	Kubeconfig = "kubeconfig"
	// Client is certificate and key in one file, so that both change at once.
	Client = "client.pem"
	// Authority is the cluster's CA.
	Authority = "ca.crt"
)

// Request is what to make.
type Request struct {
	// CACert and CAKey are the files of the cluster's CA.
	CACert, CAKey string
	// Server is the URL of this node's own API server; that of ServerFrom, a
	// kubeconfig, when it is empty.
	Server, ServerFrom string
	// Dir is where the files go. Its parent is made for root alone: who can enter
	// that can read the key.
	Dir string
	// Life is how long a certificate lasts. It is renewed after half of that.
	Life time.Duration
}

// Renew makes the files, and another certificate unless the one that is there is
// good for more than half of Life. It returns when the certificate ends, and
// whether it is a new one. A file that says already what it should is not
// written again.
func Renew(r Request) (expires time.Time, renewed bool, err error) {
	authority, key, err := readAuthority(r.CACert, r.CAKey)
	if err != nil {
		return time.Time{}, false, err
	}
	server, err := r.server()
	if err != nil {
		return time.Time{}, false, err
	}
	files := map[string][]byte{Kubeconfig: kubeconfig(server)}
	if files[Authority], err = os.ReadFile(r.CACert); err != nil {
		return time.Time{}, false, fmt.Errorf("read CA: %w", err)
	}
	expires, good := current(filepath.Join(r.Dir, Client), authority, r.Life)
	if !good {
		if files[Client], expires, err = issue(authority, key, r.Life); err != nil {
			return time.Time{}, false, err
		}
	}
	if err := secure(r.Dir); err != nil {
		return time.Time{}, false, err
	}
	for name, text := range files {
		if err := put(filepath.Join(r.Dir, name), text); err != nil {
			return time.Time{}, false, err
		}
	}
	return expires, !good, nil
}

// current returns when the certificate in file ends, and whether it will do: it is
// the user's, of this CA, with its key, and more than half of life is left.
func current(file string, authority *x509.Certificate, life time.Duration) (time.Time, bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, false
	}
	all, err := cert.ParseCertsPEM(text)
	if err != nil {
		return time.Time{}, false
	}
	key, err := keyutil.ParsePrivateKeyPEM(text)
	if err != nil {
		return time.Time{}, false
	}
	c, signer := all[0], signerOf(key)
	same := signer != nil && c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(signer.Public())
	good := same && c.Subject.CommonName == User && len(c.Subject.Organization) == 0 && c.CheckSignatureFrom(authority) == nil &&
		!time.Now().Before(c.NotBefore) && time.Until(c.NotAfter) > life/2
	return c.NotAfter, good
}

// server returns the API server's URL.
func (r Request) server() (string, error) {
	if r.Server != "" {
		return r.Server, nil
	}
	config, err := clientcmd.LoadFromFile(r.ServerFrom)
	if err != nil {
		return "", fmt.Errorf("look for this node's API server: %w", err)
	}
	context, ok := config.Contexts[config.CurrentContext]
	if !ok || config.Clusters[context.Cluster] == nil {
		return "", fmt.Errorf("look for this node's API server: %s has no current cluster", r.ServerFrom)
	}
	return cmp.Or(config.Clusters[context.Cluster].Server, "https://127.0.0.1:6443"), nil
}

// kubeconfig names the files beside it, so that they can be read again when they
// change.
func kubeconfig(server string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: joinery-controller
clusters:
- name: cluster
  cluster:
    server: %q
    certificate-authority: %s
users:
- name: joinery-controller
  user:
    client-certificate: %s
    client-key: %s
contexts:
- name: joinery-controller
  context: {cluster: cluster, user: joinery-controller}
`, server, Authority, Client, Client)
}
