package rules

import (
	"time"

	"github.com/joinery/joinery/internal/kube"
)

// maxDeletion is how long a Node may be in deletion and count as being removed: a
// finalizer, which its kubelet can set, keeps it without end.
const maxDeletion = 10 * time.Minute

// Departing reports whether the node is being removed:
//   - its instance is leaving, or
//   - it is marked, or
//   - its deletion was asked for less than maxDeletion ago.
func (n *NodeFacts) Departing(now time.Time) bool {
	deleted := n.Node.DeletionTimestamp
	return n.Leaving || kube.Marked(n.Node) || deleted != nil && now.Sub(deleted.Time) < maxDeletion
}

// beingDeleted: what goes already is not chosen again.
func beingDeleted(c *Context, n *NodeFacts) string {
	if n.Departing(c.Now) {
		return "the node is being removed"
	}
	return ""
}
