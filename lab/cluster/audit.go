package cluster

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Request is one request to the API server, as RBAC sees it.
type Request struct {
	Verb, APIGroup string
	// Resource is "pods", or "pods/eviction" for a subresource; empty when the
	// request was for no resource but for Path.
	Resource, Path  string
	Namespace, Name string
	// Status is the HTTP status of the answer.
	Status int
}

// Refused says that the API server forbade it.
func (r Request) Refused() bool { return r.Status == http.StatusForbidden }

// String words the request, with its status.
func (r Request) String() string {
	what := strings.TrimPrefix(r.APIGroup+"/"+r.Resource, "/")
	if r.Resource == "" {
		what = r.Path
	}
	for _, part := range []string{r.Namespace, r.Name} {
		if part != "" {
			what += " " + part
		}
	}
	return fmt.Sprintf("%s %s: %d", r.Verb, what, r.Status)
}

// auditEvent is the part of an event of audit.k8s.io/v1 that is read.
type auditEvent struct {
	RequestURI string `json:"requestURI"`
	Verb       string `json:"verb"`
	User       struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef *struct {
		Resource, Subresource, Namespace, Name, APIGroup string
	} `json:"objectRef"`
	ResponseStatus *struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// ParseAudit reads an audit log, one event a line, and returns the requests of
// user that were answered. A watch may be returned twice, at its begin and at
// its end.
func ParseAudit(log io.Reader, user string) ([]Request, error) {
	var all []Request
	lines := bufio.NewReader(log)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 && err == io.EOF {
			return all, nil
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read audit event %d: %w", n, err)
		}
		var e auditEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("parse audit event %d: %w", n, err)
		}
		if e.User.Username == user && e.ResponseStatus != nil {
			all = append(all, e.request())
		}
	}
}

func (e auditEvent) request() Request {
	r := Request{Verb: e.Verb, Path: e.RequestURI, Status: e.ResponseStatus.Code}
	if o := e.ObjectRef; o != nil {
		r.APIGroup, r.Resource, r.Namespace, r.Name = o.APIGroup, o.Resource, o.Namespace, o.Name
		if o.Subresource != "" {
			r.Resource += "/" + o.Subresource
		}
	}
	return r
}

// Grant is one permission: a verb on a resource.
type Grant struct {
	Verb, APIGroup, Resource string
	// Name limits it to the object of that name, Namespace to that namespace;
	// empty for no limit.
	Name, Namespace string
}

// String words the grant: "get coordination.k8s.io/leases/joinery-controller in kube-system".
func (g Grant) String() string {
	out := g.Verb + " " + strings.TrimPrefix(g.APIGroup+"/"+g.Resource, "/")
	if g.Name != "" {
		out += "/" + g.Name
	}
	if g.Namespace != "" {
		out += " in " + g.Namespace
	}
	return out
}

// Allows says whether the grant is what lets the request through.
func (g Grant) Allows(r Request) bool {
	return g.Verb == r.Verb && g.APIGroup == r.APIGroup && g.Resource == r.Resource &&
		(g.Name == "" || g.Name == r.Name) && (g.Namespace == "" || g.Namespace == r.Namespace)
}

// ParseGrants splits the rules of the ClusterRoles and Roles in a stream of YAML
// manifests into single permissions. Those of a ClusterRole are taken to hold in
// every namespace.
func ParseGrants(manifests []byte) ([]Grant, error) {
	var all []Grant
	for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			slices.SortFunc(all, func(a, b Grant) int { return cmp.Compare(a.String(), b.String()) })
			return slices.Compact(all), nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
		var role struct {
			Kind     string              `json:"kind"`
			Metadata metav1.ObjectMeta   `json:"metadata"`
			Rules    []rbacv1.PolicyRule `json:"rules"`
		}
		if err := yaml.Unmarshal(doc, &role); err != nil {
			return nil, fmt.Errorf("parse manifest: %w", err)
		}
		if role.Kind == "ClusterRole" || role.Kind == "Role" {
			all = append(all, split(role.Rules, role.Metadata.Namespace)...)
		}
	}
}

func split(rules []rbacv1.PolicyRule, namespace string) []Grant {
	var all []Grant
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						all = append(all, Grant{Verb: verb, APIGroup: group, Resource: resource, Name: name, Namespace: namespace})
					}
				}
			}
		}
	}
	return all
}

// Compare holds what was asked for against what is granted: the grants that no
// request needed, and the requests that were refused. A request that was refused
// needed no grant, as none was there.
func Compare(grants []Grant, requests []Request) (unused []Grant, refused []Request) {
	for _, r := range requests {
		if r.Refused() && !slices.Contains(refused, r) {
			refused = append(refused, r)
		}
	}
	for _, g := range grants {
		if !slices.ContainsFunc(requests, func(r Request) bool { return !r.Refused() && g.Allows(r) }) {
			unused = append(unused, g)
		}
	}
	return unused, refused
}
