package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/joinery/joinery/agent/atomicfile"
)

// ownKey returns the key of this boot, making one the first time. An agent that
// crashed and asks again with the same key is known to be the same one; with
// another it would look like a second claimant to its own name. The file is in
// memory, and goes when the node has joined.
func ownKey(path string) (*ecdsa.PrivateKey, error) {
	if key := readKey(path); key != nil {
		return key, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if err := atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})); err != nil {
		return nil, fmt.Errorf("keep key: %w", err)
	}
	return key, nil
}

const keyBlock = "EC PRIVATE KEY"

// readKey returns the key in a file, or nil: what cannot be read is no loss.
func readKey(path string) *ecdsa.PrivateKey {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != keyBlock {
		return nil
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}
