package awssim

import "maps"

// Simulate reports whether a role's policies let it take an action on a resource, its
// ARN or "*", in a request with these condition keys. The policies are those that
// AttachPolicy attached; their use counts for UnusedPermissions. It is for actions that
// no caller of this tree takes, and IAM has the same.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (w *World) Simulate(role, action, resource string, keys map[string]string) bool {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	a := access{action: action, resource: resource, keys: map[string]string{keyRegion: w.Region}}
	maps.Copy(a.keys, keys)
	result, use := decide(w.policies[role], a)
	if result != allowed {
		return false
	}
	for _, note := range use {
		note()
	}
	return true
}
