package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/joinery/joinery/controlplane/apiserver"
)

// The Lease has a budget that neither work nor questions to the endpoint can spend.
func TestTheLeaseHasItsOwnBudget(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":"https://127.0.0.1:1"}}],
"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"current-context":"c","users":[{"name":"u","user":{"token":"t"}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := apiserver.Connect(path, "test")
	if err != nil {
		t.Fatal(err)
	}
	lease := c.Lease.CoordinationV1().RESTClient().GetRateLimiter()
	for range 1000 { // a flood, and all that the work may ask for
		c.Work.CoordinationV1().RESTClient().GetRateLimiter().TryAccept()
		c.Probe.CoordinationV1().RESTClient().GetRateLimiter().TryAccept()
	}
	for range 10 {
		if !lease.TryAccept() {
			t.Fatal("the Lease has to wait")
		}
	}
}
