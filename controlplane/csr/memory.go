package csr

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/controlplane/attest"
)

// memory is what an approver remembers of the requests that it has seen. All of
// it can be lost: what must not be is in the grants.
type memory struct {
	mu sync.Mutex
	// held has the requests that are held, by name; it keeps a request that is
	// judged every few seconds from repeating itself in events and logs.
	held map[string]heldRequest
	// alarmed is when it was last said that too many are held.
	alarmed time.Time
	// proven has who signed the proof of a request that is held, by its name, so
	// that STS is asked once.
	proven map[string]provenRequest
	// issued maps what the API server calls a client certificate to the name of
	// the request that a token's holder got it by.
	issued map[string]string
}

// heldRequest is a request that is held: for what reason, and whose it is.
type heldRequest struct {
	reason    Reason
	requester string
}

// provenRequest is who signed the proof of the request of that UID.
type provenRequest struct {
	uid string
	id  attest.Identity
}

func newMemory() memory {
	return memory{held: map[string]heldRequest{}, proven: map[string]provenRequest{}, issued: map[string]string{}}
}

// news remembers for what a request is held, and says whether that is new.
func (m *memory) news(r Request, reason Reason) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[r.Name].reason == reason {
		return false
	}
	m.held[r.Name] = heldRequest{reason: reason, requester: r.Requester}
	return true
}

// admit says whether a request may be judged: one that is held already, or any
// while there is room for one more of its kind of requester.
func (a *Approver) admit(r Request) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, before := a.held[r.Name]; before {
		return true
	}
	_, holder := strings.CutPrefix(r.Requester, requesterPrefix)
	most, n := a.policy.MaxHeldByNode, 0
	if holder {
		most = a.policy.MaxHeld
	}
	for _, h := range a.held {
		if holder && strings.HasPrefix(h.requester, requesterPrefix) || h.requester == r.Requester {
			n++
		}
	}
	return n < most
}

// forget drops a request that is decided, gone or not ours.
func (m *memory) forget(request string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.proven, request)
	delete(m.held, request)
}

func (m *memory) provenBefore(r Request) (*attest.Identity, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.proven[r.Name]
	return &p.id, ok && p.uid == r.UID
}

func (m *memory) rememberProof(r Request, id attest.Identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proven[r.Name] = provenRequest{uid: r.UID, id: id}
}

// noteIssued remembers the certificate that the holder of a token was given.
func (m *memory) noteIssued(c *certificatesv1.CertificateSigningRequest) {
	if !strings.HasPrefix(c.Spec.Username, requesterPrefix) {
		return
	}
	block, _ := pem.Decode(c.Status.Certificate)
	if block == nil {
		return
	}
	sum := sha256.Sum256(block.Bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.issued["X509SHA256="+hex.EncodeToString(sum[:])] = c.Name
}

// dropIssued forgets the certificate of a request that Kubernetes has deleted, an
// hour after its approval: a certificate for a token has ended by then.
func (m *memory) dropIssued(request string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for credential, by := range m.issued {
		if by == request {
			delete(m.issued, credential)
		}
	}
}

// shortLived says whether the credential is a certificate of a token's holder.
func (m *memory) shortLived(credential string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, is := m.issued[credential]
	return credential != "" && is
}
