package masters_test

import (
	"slices"
	"testing"

	"github.com/joinery/joinery/deploy/rbac"
	"github.com/joinery/joinery/lab/cluster"
)

// TestMastersRefuseNothing comes last: whatever the controllers asked for in all
// the tests, their roles allow it. An API server that starts has not read the
// roles yet when it first answers; what it refuses then is not missing in them.
func TestMastersRefuseNothing(t *testing.T) {
	c := open(t)
	requests, err := c.Cluster.ControllerRequests()
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) == 0 {
		t.Fatal("the audit logs are empty")
	}
	manifests, err := rbac.Manifests()
	if err != nil {
		t.Fatal(err)
	}
	grants, err := cluster.ParseGrants(manifests)
	if err != nil {
		t.Fatal(err)
	}
	_, refused := cluster.Compare(grants, requests)
	for _, r := range refused {
		// Everyone may get /readyz (system:public-info-viewer), once the roles are there.
		if r.Path == "/readyz" || slices.ContainsFunc(grants, func(g cluster.Grant) bool { return g.Allows(r) }) {
			t.Logf("refused by an API server that starts: %s", r)
		} else {
			t.Errorf("refused: %s", r)
		}
	}
}
