package awssim

import (
	"maps"
	"slices"
	"time"
)

// CreateRole makes a role that may do nothing yet, with an instance profile of the same
// name, as IAM's API does: that can then change both.
func (w *World) CreateRole(name string) {
	w.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &role{name: name, created: time.Now(), inline: map[string]*policy{}}
	w.madeRoles[name] = r
	w.holdLocked(r)
	w.profiles[name] = &instanceProfile{name: name, role: name, created: r.created}
}

func (w *World) listRolePolicies(req *request) (any, error) {
	r, err := w.findRoleLocked(req)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(r.inline))
	return []node{elList("PolicyNames", "member", names, func(s string) any { return s }), el("IsTruncated", false)}, nil
}
