package drive

// Access is one thing that a service does with the API server, in the terms of RBAC.
// The declarations of all services together are what deploy/rbac allows, and a test
// holds the two to each other.
type Access struct {
	// Group of the API; empty for the core group.
	Group string
	// Resource, with its subresource after a slash, such as pods/eviction.
	Resource string
	// Verbs, such as get, list, watch, create, update, patch, delete.
	Verbs []string
	// Namespace that it is done in; empty for every one, or for what has none.
	Namespace string
	// Names of the objects; none for any.
	Names []string
}

// Watch declares that a service lists and watches a resource.
func Watch(group, resource string) Access {
	return Access{Group: group, Resource: resource, Verbs: []string{"list", "watch"}}
}
