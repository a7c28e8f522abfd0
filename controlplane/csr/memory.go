package csr

import (
	"sync"
	"time"

	"github.com/joinery/joinery/controlplane/attest"
)

// memory is what an approver remembers of the requests that it has seen. All of
// it can be lost: what must not be is in the grants.
type memory struct {
	mu sync.Mutex
	// held has the requests that are held, by name; it keeps a request that is
	// judged every few seconds from repeating itself in events and logs.
	held map[string]Reason
	// proven has who signed the proof of a request that is held, by its name, so
	// that STS is asked once.
	proven map[string]provenRequest
	// issued maps what the API server calls a client certificate to the name of
	// the request that a token's holder got it by.
	issued map[string]string
	// settled are the names of the Nodes that joined and are Ready.
	settled map[string]bool
	// ours has when a token was last found to be one of ours.
	ours map[tokenID]proven
}

// tokenID is a bootstrap token by its id, and whether it is for old user data.
type tokenID struct {
	id     string
	legacy bool
}

// provenRequest is who signed the proof of the request of that UID.
type provenRequest struct {
	uid string
	id  attest.Identity
}

func newMemory() memory {
	return memory{held: map[string]Reason{}, proven: map[string]provenRequest{}, issued: map[string]string{}, ours: map[tokenID]proven{}, settled: map[string]bool{}}
}

// news remembers for what a request is held, and says whether that is new.
func (m *memory) news(r Request, reason Reason) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held[r.Name] == reason {
		return false
	}
	m.held[r.Name] = reason
	return true
}

// toldToAskAgain reports whether a request is held because its node is to make
// another one.
func (m *memory) toldToAskAgain(request string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held[request] == ClockSkew || m.held[request] == ProofAged
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

// noteNode remembers whether a Node joined and is Ready.
func (m *memory) noteNode(name string, settled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if settled {
		m.settled[name] = true
	} else {
		delete(m.settled, name)
	}
}

func (m *memory) isSettled(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.settled[name]
}

// oursFor is how long a token that was found to be ours is held to be: revoking it
// takes as long, and a flood costs no more questions.
const oursFor = 2 * time.Second

// proven is when a token was found to be ours, and for a request made when. Ids of
// tokens are used again: a request from before may be a revoked token's.
type proven struct{ at, asked time.Time }

func (m *memory) ourToken(t tokenID, asked time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.ours[t]
	return time.Since(p.at) < oursFor && !asked.Before(p.asked)
}

func (m *memory) rememberToken(t tokenID, asked time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ours[t] = proven{time.Now(), asked}
}

// noteIssued remembers the certificate that the holder of a token was given.
func (m *memory) noteIssued(s *sighting) {
	if s.credential == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.issued[s.credential] = s.Name
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
