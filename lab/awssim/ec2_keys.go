package awssim

import (
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"regexp"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// keyPair is an SSH key that instances are launched with. EC2 keeps the public half.
type keyPair struct {
	id, name, kind, fingerprint string
	public                      string // a line of authorized_keys
	created                     time.Time
	tags                        map[string]string
}

const keyPairTypes = "rsa ed25519"

func (w *World) createKeyPair(req *request) (any, error) {
	kind, format := req.form.str("KeyType"), req.form.str("KeyFormat")
	setDefault(&kind, "rsa")
	setDefault(&format, "pem")
	if !hasWord(keyPairTypes, kind) {
		return nil, fail("InvalidParameterValue", "Invalid value '%s' for keyType. It should be one of: [rsa, ed25519]", kind)
	}
	if format != "pem" {
		return nil, notSimulated("ec2", req.action, "KeyFormat="+format)
	}
	k, err := w.newKeyPairLocked(req)
	if err != nil {
		return nil, err
	}
	secret, err := k.generate(kind)
	if err != nil {
		return nil, err
	}
	w.keyPairs[k.name] = k
	return append(k.nodes(), el("keyMaterial", secret)), nil
}

// newKeyPairLocked takes a name and tags from a request.
func (w *World) newKeyPairLocked(req *request) (*keyPair, error) {
	name := req.form.str("KeyName")
	tags, err := readTagSpecifications(req.form, "key-pair")
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return nil, missing("ec2", "KeyName")
	case len(name) > 255:
		return nil, fail("InvalidParameterValue", "Value for parameter KeyName is invalid. Length exceeds maximum of 255.")
	case w.keyPairs[name] != nil:
		return nil, fail("InvalidKeyPair.Duplicate", "The keypair already exists")
	}
	k := &keyPair{id: w.idLocked("key-"), name: name, created: time.Now(), tags: tags["key-pair"]}
	if k.tags == nil {
		k.tags = map[string]string{}
	}
	return k, nil
}

// generate makes the key and returns its private half as EC2 hands it out.
func (k *keyPair) generate(kind string) (string, error) {
	if kind == "ed25519" {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return "", err
		}
		block, err := ssh.MarshalPrivateKey(private, "")
		if err != nil {
			return "", err
		}
		return string(pem.EncodeToMemory(block)), k.setPublic(public, nil)
	}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)}
	return string(pem.EncodeToMemory(block)), k.setPublic(&private.PublicKey, private)
}

// setPublic notes a public key. The fingerprint says where a key comes from: EC2 takes
// it of the private half of an RSA key that it made, and of the public half of others.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html
func (k *keyPair) setPublic(public any, private *rsa.PrivateKey) error {
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return err
	}
	k.public = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))) + " " + k.name
	if line.Type() == ssh.KeyAlgoED25519 {
		sum := sha256.Sum256(line.Marshal())
		k.kind, k.fingerprint = "ed25519", base64.StdEncoding.EncodeToString(sum[:])
		return nil
	}
	k.kind = "rsa"
	if private != nil {
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return err
		}
		sum := sha1.Sum(der)
		k.fingerprint = colons(sum[:])
		return nil
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	sum := md5.Sum(der)
	k.fingerprint = colons(sum[:])
	return nil
}

var pairs = regexp.MustCompile(`..`)

func colons(sum []byte) string {
	return strings.TrimSuffix(pairs.ReplaceAllString(hex.EncodeToString(sum), "$0:"), ":")
}

func (w *World) importKeyPair(req *request) (any, error) {
	text, err := base64.StdEncoding.DecodeString(req.form.str("PublicKeyMaterial"))
	if err != nil {
		return nil, fail("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	line, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil || line.Type() != ssh.KeyAlgoED25519 && line.Type() != ssh.KeyAlgoRSA {
		return nil, fail("InvalidKey.Format", "Key is not in valid OpenSSH public key format")
	}
	k, err := w.newKeyPairLocked(req)
	if err != nil {
		return nil, err
	}
	if err := k.setPublic(line.(ssh.CryptoPublicKey).CryptoPublicKey(), nil); err != nil {
		return nil, err
	}
	w.keyPairs[k.name] = k
	return k.nodes(), nil
}

func (k *keyPair) nodes() []node {
	return []node{el("keyName", k.name), el("keyPairId", k.id), el("keyFingerprint", k.fingerprint), tagNodes("tagSet", k.tags)}
}

// deleteKeyPair takes one that there is not for deleted.
func (w *World) deleteKeyPair(req *request) (any, error) {
	for name, k := range w.keyPairs {
		if name == req.form.str("KeyName") || k.id == req.form.str("KeyPairId") {
			delete(w.keyPairs, name)
			return []node{el("return", true), el("keyPairId", k.id)}, nil
		}
	}
	return []node{el("return", true)}, nil
}

func (w *World) describeKeyPairs(req *request) (any, error) {
	return describe(req, "KeyName", "keySet", w.keyPairs, unknownKeyPair, func(k *keyPair, name string) ([]string, bool) {
		v, known := map[string]string{"key-name": k.name, "key-pair-id": k.id, "fingerprint": k.fingerprint}[name]
		if known {
			return []string{v}, true
		}
		return tagFilter(name, k.tags)
	}, func(k *keyPair) []node {
		return append(k.nodes(), el("keyType", k.kind), el("createTime", k.created))
	})
}

func unknownKeyPair(name string) error {
	return fail("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
}
