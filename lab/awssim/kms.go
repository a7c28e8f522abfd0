package awssim

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// maxPlaintext is what KMS encrypts directly.
const maxPlaintext = 4096

func kmsActions() map[string]action {
	return map[string]action{
		"CreateKey":           {run: (*World).createKey},
		"CreateAlias":         {run: (*World).createAlias},
		"DescribeKey":         {run: (*World).describeKey},
		"DeleteAlias":         {run: (*World).deleteAlias},
		"ScheduleKeyDeletion": {run: (*World).scheduleKeyDeletion},
		"Encrypt":             {run: (*World).encrypt},
		"Decrypt":             {run: (*World).decrypt},
	}
}

// kmsKey is a symmetric key. Its secret never leaves it.
type kmsKey struct {
	id, arn, description string
	manager              string // AWS or CUSTOMER
	created              time.Time
	aead                 cipher.AEAD
}

func (w *World) newKeyLocked(description, manager string) (*kmsKey, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	k := &kmsKey{id: w.uuidLocked("key"), description: description, manager: manager, created: time.Now(), aead: aead}
	k.arn = w.arn("kms", "key/"+k.id)
	w.keys[k.id] = k
	return k, nil
}

// CreateKey makes a KMS key with an alias (such as alias/joinery) and returns
// its ARN.
func (w *World) CreateKey(alias string) (arn string, err error) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	k, err := w.newKeyLocked(alias, "CUSTOMER")
	if err != nil {
		return "", err
	}
	w.aliases[alias] = k.id
	return k.arn, nil
}

// findKeyLocked resolves a key id, key ARN, alias or alias ARN. The AWS managed
// key of SSM comes into being when it is first used.
func (w *World) findKeyLocked(ref string) (*kmsKey, error) {
	name := strings.TrimPrefix(ref, w.arn("kms", ""))
	name = strings.TrimPrefix(name, "key/")
	if strings.HasPrefix(name, "alias/") {
		if name == "alias/aws/ssm" && w.aliases[name] == "" {
			k, err := w.newKeyLocked("Default key that protects my SSM parameters when no other key is defined", "AWS")
			if err != nil {
				return nil, err
			}
			w.aliases[name] = k.id
		}
		if k := w.keys[w.aliases[name]]; k != nil {
			return k, nil
		}
		return nil, fail("NotFoundException", "Alias %s is not found.", w.arn("kms", name))
	}
	if k := w.keys[name]; k != nil {
		return k, nil
	}
	return nil, fail("NotFoundException", "Key '%s' does not exist", w.arn("kms", "key/"+name))
}

// seal encrypts for a context. The result names its key, as KMS' does.
func (k *kmsKey) seal(plaintext []byte, context map[string]string) []byte {
	blob := append([]byte{1, 2, byte(len(k.id))}, k.id...)
	return k.aead.Seal(blob, nil, plaintext, contextBytes(context))
}

// openLocked decrypts what seal made, with the same context only.
func (w *World) openLocked(blob []byte, context map[string]string) ([]byte, *kmsKey, error) {
	bad := fail("InvalidCiphertextException", "")
	k := w.sealedByLocked(blob)
	if k == nil {
		return nil, nil, bad
	}
	plaintext, err := k.aead.Open(nil, nil, blob[3+len(k.id):], contextBytes(context))
	if err != nil {
		return nil, nil, bad
	}
	return plaintext, k, nil
}

// sealedByLocked is the key that a ciphertext names; nil when it names none.
func (w *World) sealedByLocked(blob []byte) *kmsKey {
	if len(blob) < 3 || blob[0] != 1 || blob[1] != 2 || len(blob) < 3+int(blob[2]) {
		return nil
	}
	return w.keys[string(blob[3:3+int(blob[2])])]
}

// contextBytes is an encryption context as additional data: order does not
// matter, and absent equals empty.
func contextBytes(context map[string]string) []byte {
	if len(context) == 0 {
		return nil
	}
	// A map of strings marshals without failing, with sorted keys.
	b, _ := json.Marshal(context)
	return b
}

func (w *World) createKey(req *request) (any, error) {
	in, err := decode[struct{ Description, KeyUsage, KeySpec string }](req)
	if err != nil {
		return nil, err
	}
	if (in.KeyUsage != "" && in.KeyUsage != "ENCRYPT_DECRYPT") || (in.KeySpec != "" && in.KeySpec != "SYMMETRIC_DEFAULT") {
		return nil, notSimulated("kms", req.action, "KeyUsage/KeySpec "+in.KeyUsage+in.KeySpec)
	}
	k, err := w.newKeyLocked(in.Description, "CUSTOMER")
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": w.keyMetadata(k)}, nil
}

func (w *World) keyMetadata(k *kmsKey) map[string]any {
	return map[string]any{
		"AWSAccountId": w.AccountID, "Arn": k.arn, "KeyId": k.id, "CreationDate": epoch(k.created),
		"Description": k.description, "Enabled": true, "KeyManager": k.manager, "KeySpec": "SYMMETRIC_DEFAULT",
		"KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT", "MultiRegion": false, "Origin": "AWS_KMS",
		"CustomerMasterKeySpec": "SYMMETRIC_DEFAULT", "EncryptionAlgorithms": []string{"SYMMETRIC_DEFAULT"},
	}
}

func (w *World) createAlias(req *request) (any, error) {
	in, err := decode[struct{ AliasName, TargetKeyId string }](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"AliasName": in.AliasName, "TargetKeyId": in.TargetKeyId}
	if !strings.HasPrefix(in.AliasName, "alias/") || len(in.AliasName) == len("alias/") {
		return nil, invalid("kms", "Invalid identifier")
	}
	if strings.HasPrefix(in.AliasName, "alias/aws/") {
		return nil, fail("NotAuthorizedException", "")
	}
	if w.aliases[in.AliasName] != "" {
		return nil, fail("AlreadyExistsException", "An alias with the name %s already exists", w.arn("kms", in.AliasName))
	}
	k, err := w.findKeyLocked(in.TargetKeyId)
	if err != nil {
		return nil, err
	}
	w.aliases[in.AliasName] = k.id
	return nil, nil
}

func (w *World) describeKey(req *request) (any, error) {
	in, err := decode[struct{ KeyId string }](req)
	if err != nil {
		return nil, err
	}
	k, err := w.findKeyLocked(in.KeyId)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyMetadata": w.keyMetadata(k)}, nil
}

type cryptInput struct {
	KeyId               string
	Plaintext           []byte
	CiphertextBlob      []byte
	EncryptionContext   map[string]string
	EncryptionAlgorithm string
}

func (w *World) encrypt(req *request) (any, error) {
	in, err := decode[cryptInput](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"KeyId": in.KeyId}
	if n := len(in.Plaintext); n < 1 || n > maxPlaintext {
		return nil, invalid("kms", "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to %d", maxPlaintext)
	}
	k, err := w.findKeyLocked(in.KeyId)
	if err != nil {
		return nil, err
	}
	return map[string]any{"KeyId": k.arn, "CiphertextBlob": k.seal(in.Plaintext, in.EncryptionContext), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}

func (w *World) decrypt(req *request) (any, error) {
	in, err := decode[cryptInput](req)
	if err != nil {
		return nil, err
	}
	req.log = map[string]string{"KeyId": in.KeyId}
	plaintext, k, err := w.openLocked(in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if in.KeyId != "" {
		named, err := w.findKeyLocked(in.KeyId)
		if err != nil {
			return nil, err
		}
		if named != k {
			return nil, &apiError{code: "IncorrectKeyException", message: "The key ID in the request does not identify a CMK that can perform this operation.", status: http.StatusBadRequest}
		}
	}
	return map[string]any{"KeyId": k.arn, "Plaintext": plaintext, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, nil
}
