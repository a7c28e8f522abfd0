package gate

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// KeyPair is a serving certificate in files that may be replaced while it is served.
// It is safe for concurrent use.
type KeyPair struct {
	// CertFile and KeyFile are PEM files.
	CertFile, KeyFile string

	mu   sync.Mutex
	pair *tls.Certificate
	at   [2]time.Time // when the files were last changed, as pair was read
}

// Get returns the certificate as the files have it, for tls.Config.GetCertificate. What
// cannot be read now is answered with what could be read before: a pair that is half
// replaced fits no handshake. The error is about the first time.
func (k *KeyPair) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, err := k.changed()
	if err == nil && k.pair != nil && at == k.at {
		return k.pair, nil
	}
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(k.CertFile, k.KeyFile); err == nil {
			k.pair, k.at = &pair, at
		}
	}
	if k.pair == nil {
		return nil, fmt.Errorf("load serving certificate: %w", err)
	}
	return k.pair, nil
}

func (k *KeyPair) changed() (at [2]time.Time, err error) {
	for i, name := range [2]string{k.CertFile, k.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}
