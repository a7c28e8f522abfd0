package csr_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/controlplane/csr"
)

// What another leader granted meanwhile is not written over: the request is to be
// judged again by it.
func TestGrantThatChangedMeanwhileIsNotReplaced(t *testing.T) {
	grants := csr.NewGrants(fake.NewClientset().CoreV1().ConfigMaps(metav1.NamespaceSystem), time.Hour)
	now := time.Now().UTC().Truncate(time.Second)
	first := csr.Grant{Launch: now, Node: nodeName, Keys: []string{"k1"}, Until: now.Add(time.Minute)}
	if err := grants.Record(t.Context(), instanceID, csr.Grant{}, first, now); err != nil {
		t.Fatal(err)
	}
	other := csr.Grant{Launch: now, Node: nodeName, Keys: []string{"k2"}}
	if err := grants.Record(t.Context(), instanceID, csr.Grant{}, other, now); err == nil {
		t.Error("a grant was replaced by one that did not know it")
	}
	all, err := grants.All(t.Context())
	if err != nil || len(all) != 1 || len(all[instanceID].Keys) != 1 || all[instanceID].Keys[0] != "k1" {
		t.Errorf("%+v, %v", all, err)
	}
	// Entries go when nothing can be granted to their launch any more.
	if err := grants.Record(t.Context(), goneID, csr.Grant{}, csr.Grant{Launch: now.Add(3 * time.Hour)}, now.Add(3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if all, err = grants.All(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%+v, %v: expected the old launch to be forgotten", all, err)
	}
}
