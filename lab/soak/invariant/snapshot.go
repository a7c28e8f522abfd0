// Package invariant says what may never be seen in a cluster that Joinery runs,
// whatever is done to it. It judges snapshots and does nothing itself.
package invariant

import (
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// Impossible is the label of pods that no node of any group can run.
const Impossible = "soak/impossible"

// Snapshot is a cluster as seen at one moment, from three sides.
type Snapshot struct {
	At time.Time

	// API is why the API server could not be asked; what follows is empty then.
	API      error
	Nodes    []corev1.Node
	Pods     []corev1.Pod
	Requests []certificatesv1.CertificateSigningRequest
	// Secrets are the names of those in kube-system.
	Secrets map[string]bool
	// Token is why nobody could join with what is published.
	Token error

	// Instances are all that AWS still describes, Groups those that are managed, and
	// Calls what it was asked since the snapshot before.
	Instances []awssim.Instance
	Groups    []awssim.Group
	Calls     []awssim.Call

	// Machines are the ids of the machines that there are.
	Machines []string
	// Controllers are the last looks at the controllers, by the name of their node.
	Controllers map[string]Controller
}

// Controller is what one joinery-controller said of itself.
type Controller struct {
	// At is when it was asked.
	At time.Time
	// Answers is false when it did not answer.
	Answers bool
	Leads   bool
	// Problems is how many faults its validator found in plans.
	Problems int
	// Resident is its memory.
	ResidentMiB int
}

// Terms are what does not change while a cluster is watched, but for Kept.
type Terms struct {
	// ControllerRole is the role under which the controllers call AWS.
	ControllerRole string
	// Masters are the control-plane instances: id -> name of the Node.
	Masters map[string]string
	// Kept are instances that must not be ended, with the reason.
	Kept map[string]string
}

func live(i awssim.Instance) bool {
	return i.State != awssim.ShuttingDown && i.State != awssim.Terminated
}

// instance returns an instance by its id.
func (s *Snapshot) instance(id string) (awssim.Instance, bool) {
	n := slices.IndexFunc(s.Instances, func(i awssim.Instance) bool { return i.ID == id })
	if n < 0 {
		return awssim.Instance{}, false
	}
	return s.Instances[n], true
}

// node returns the Node of an instance; nil for none.
func (s *Snapshot) node(id string) *corev1.Node {
	for n := range s.Nodes {
		if of, ok := kube.InstanceOf(&s.Nodes[n]); ok && of == id {
			return &s.Nodes[n]
		}
	}
	return nil
}

// workers are the Nodes that carry no part of the control plane.
func (s *Snapshot) workers() []corev1.Node {
	return slices.DeleteFunc(slices.Clone(s.Nodes), func(n corev1.Node) bool { return kube.ControlPlane(&n) })
}

// capacity are the members of a group that count for its desired capacity.
func capacity(g awssim.Group) []awssim.Member {
	return slices.DeleteFunc(slices.Clone(g.Members), func(m awssim.Member) bool {
		return strings.HasPrefix(m.Lifecycle, "Warmed:") || strings.HasPrefix(m.Lifecycle, "Terminating") || m.Lifecycle == "Terminated"
	})
}

// usable are those of them whose Node is Ready and not about to go.
func (s *Snapshot) usable(g awssim.Group) (n int) {
	for _, m := range capacity(g) {
		if node := s.node(m.InstanceID); node != nil && kube.KubeletReady(node) && !kube.Leaving(node) {
			n++
		}
	}
	return n
}
