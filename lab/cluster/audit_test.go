package cluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/joinery/joinery/lab/cluster"
)

const auditText = `{"kind":"Event","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/kube-system/secrets","verb":"create","user":{"username":"joinery-controller"},"objectRef":{"resource":"secrets","namespace":"kube-system","name":"bootstrap-token-abcdef","apiVersion":"v1"},"responseStatus":{"metadata":{},"code":201}}
{"kind":"Event","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=true","verb":"watch","user":{"username":"joinery-controller"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}
{"kind":"Event","stage":"ResponseComplete","requestURI":"/x","verb":"get","user":{"username":"kubernetes-admin"},"objectRef":{"resource":"pods"},"responseStatus":{"code":403}}
{"kind":"Event","stage":"RequestReceived","requestURI":"/readyz","verb":"get","user":{"username":"joinery-controller"}}
{"kind":"Event","stage":"ResponseComplete","requestURI":"/readyz","verb":"get","user":{"username":"joinery-controller"},"responseStatus":{"code":200}}
{"kind":"Event","stage":"ResponseComplete","verb":"create","user":{"username":"joinery-controller"},"objectRef":{"resource":"pods","subresource":"eviction","namespace":"default","name":"web","apiGroup":"policy"},"responseStatus":{"code":403}}`

func TestParseAudit(t *testing.T) {
	got, err := cluster.ParseAudit(strings.NewReader(auditText), "joinery-controller")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, r := range got {
		words = append(words, r.String())
	}
	want := []string{
		"create secrets kube-system bootstrap-token-abcdef: 201",
		"watch pods: 200",
		"get /readyz: 200",
		"create policy/pods/eviction default web: 403",
	}
	if !slices.Equal(words, want) {
		t.Errorf("got %q", words)
	}
	if _, err := cluster.ParseAudit(strings.NewReader("{}\nnothing\n"), "x"); err == nil || !strings.Contains(err.Error(), "event 2") {
		t.Errorf("a broken log: %v", err)
	}
}

func FuzzParseAudit(f *testing.F) {
	f.Add(auditText)
	f.Add("{}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		requests, err := cluster.ParseAudit(strings.NewReader(text), "joinery-controller")
		if err != nil && requests != nil {
			t.Error("requests beside an error")
		}
		for _, r := range requests {
			_ = r.String()
		}
	})
}

const roles = `---
# A comment.
kind: ClusterRole
metadata: {name: c}
rules:
- {apiGroups: [""], resources: [nodes, pods], verbs: [get, list]}
- {apiGroups: [apps], resources: [daemonsets], verbs: [list]}
---
kind: ClusterRoleBinding
metadata: {name: c}
---
kind: Role
metadata: {name: r, namespace: kube-system}
rules:
- {apiGroups: [""], resources: [secrets], verbs: [get]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [a, b], verbs: [get, update]}
- {apiGroups: [""], resources: [secrets], verbs: [get]}
`

func TestParseGrants(t *testing.T) {
	got, err := cluster.ParseGrants([]byte(roles))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, g := range got {
		words = append(words, g.String())
	}
	want := []string{
		"get coordination.k8s.io/leases/a in kube-system", "get coordination.k8s.io/leases/b in kube-system",
		"get nodes", "get pods", "get secrets in kube-system",
		"list apps/daemonsets", "list nodes", "list pods",
		"update coordination.k8s.io/leases/a in kube-system", "update coordination.k8s.io/leases/b in kube-system",
	}
	if !slices.Equal(words, want) {
		t.Errorf("got %q", words)
	}
	if _, err := cluster.ParseGrants([]byte("kind: [")); err == nil {
		t.Error("a broken manifest is no error")
	}
}

func TestCompare(t *testing.T) {
	pods := cluster.Grant{Verb: "list", Resource: "pods"}
	evict := cluster.Grant{Verb: "create", Resource: "pods/eviction"}
	secret := cluster.Grant{Verb: "get", Resource: "secrets", Namespace: "kube-system"}
	lease := cluster.Grant{Verb: "get", APIGroup: "coordination.k8s.io", Resource: "leases", Name: "a", Namespace: "kube-system"}
	for name, tc := range map[string]struct {
		grant   cluster.Grant
		request cluster.Request
		unused  bool
		refused bool
	}{
		"used":                       {grant: pods, request: cluster.Request{Verb: "list", Resource: "pods", Status: 200}},
		"used in one namespace":      {grant: pods, request: cluster.Request{Verb: "list", Resource: "pods", Namespace: "default", Status: 200}},
		"used for nothing":           {grant: pods, request: cluster.Request{Verb: "list", Resource: "pods", Status: 404}},
		"other verb":                 {grant: pods, request: cluster.Request{Verb: "watch", Resource: "pods", Status: 200}, unused: true},
		"other group":                {grant: pods, request: cluster.Request{Verb: "list", APIGroup: "x", Resource: "pods", Status: 200}, unused: true},
		"subresource is no resource": {grant: pods, request: cluster.Request{Verb: "list", Resource: "pods/status", Status: 200}, unused: true},
		"subresource":                {grant: evict, request: cluster.Request{Verb: "create", Resource: "pods/eviction", Namespace: "a", Name: "b", Status: 429}},
		"namespace":                  {grant: secret, request: cluster.Request{Verb: "get", Resource: "secrets", Namespace: "kube-system", Name: "x", Status: 200}},
		"other namespace":            {grant: secret, request: cluster.Request{Verb: "get", Resource: "secrets", Namespace: "default", Name: "x", Status: 200}, unused: true},
		"name":                       {grant: lease, request: cluster.Request{Verb: "get", APIGroup: "coordination.k8s.io", Resource: "leases", Namespace: "kube-system", Name: "a", Status: 200}},
		"other name":                 {grant: lease, request: cluster.Request{Verb: "get", APIGroup: "coordination.k8s.io", Resource: "leases", Namespace: "kube-system", Name: "b", Status: 200}, unused: true},
		"refused":                    {grant: pods, request: cluster.Request{Verb: "list", Resource: "pods", Status: 403}, unused: true, refused: true},
		"no resource":                {grant: pods, request: cluster.Request{Verb: "get", Path: "/readyz", Status: 200}, unused: true},
	} {
		unused, refused := cluster.Compare([]cluster.Grant{tc.grant}, []cluster.Request{tc.request, tc.request})
		if (len(unused) == 1) != tc.unused || (len(refused) == 1) != tc.refused {
			t.Errorf("%s: unused %v, refused %v", name, unused, refused)
		}
	}
}
