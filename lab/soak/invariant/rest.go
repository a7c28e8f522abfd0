package invariant

import (
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

// Whole says what a cluster lacks that works as it should, nothing for one that does:
// no controller is missing, every worker is Ready, and no pod waits that could run.
func (w *Watch) Whole(s *Snapshot) (lacks []Finding) {
	if s.API != nil || s.Token != nil {
		return []Finding{finding("cluster", "API server: %v; token: %v", s.API, s.Token)}
	}
	for name, c := range s.Controllers {
		if !c.Answers {
			lacks = append(lacks, finding(name, "its controller does not answer"))
		}
	}
	for _, i := range []func(*Watch, *Snapshot) []Finding{nobodyLeads, severalLead, nodeWithoutInstance, nodeNotReady, podPending} {
		lacks = append(lacks, i(w, s)...)
	}
	for _, n := range s.Nodes {
		if kube.ControlPlane(&n) && !kube.KubeletReady(&n) {
			lacks = append(lacks, finding(n.Name, "not Ready"))
		}
	}
	return lacks
}

// Left is what stands between a cluster without pods and its minimum, and whatever was
// left over on the way there.
func (w *Watch) Left(s *Snapshot) (left []Finding) {
	left = append(w.Whole(s), leftOfGroups(s)...)
	left = append(left, leftOfInstances(w, s)...)
	left = append(left, leftOfNodes(s)...)
	for _, r := range s.Requests {
		if len(r.Status.Conditions) == 0 && kubelets(r) && !w.masters(r) && !revoked(s, r) {
			left = append(left, finding(r.Name, "a request that nobody has decided on"))
		}
	}
	for _, p := range s.Pods {
		left = append(left, finding(p.Name, "a pod on %q, %s", p.Spec.NodeName, p.Status.Phase))
	}
	return left
}

// revoked says whether a request was made with a token that was revoked since: the
// approver leaves it alone, and Kubernetes deletes it in the end.
func revoked(s *Snapshot, r certificatesv1.CertificateSigningRequest) bool {
	id, holder := strings.CutPrefix(r.Spec.Username, kube.BootstrapUserPrefix)
	return holder && !s.Secrets[kube.BootstrapTokenSecretName(id)]
}

// masters says whether a control-plane node made a request: those of nodes that were
// not adopted wait for an administrator.
func (w *Watch) masters(r certificatesv1.CertificateSigningRequest) bool {
	for _, name := range w.Masters {
		if r.Spec.Username == kube.NodeUser(name) {
			return true
		}
	}
	return false
}

func leftOfGroups(s *Snapshot) (left []Finding) {
	for _, g := range s.Groups {
		members := capacity(g)
		if g.Desired != g.Min || len(members) != g.Min || s.usable(g) != g.Min {
			left = append(left, finding(g.Name, "desired %d, %d members, %d usable: minimum %d", g.Desired, len(members), s.usable(g), g.Min))
		}
		if len(g.Suspended) > 0 {
			left = append(left, finding(g.Name, "suspended: %q", g.Suspended))
		}
		pool := len(g.Members) - len(members)
		resting := 0
		for _, m := range g.Members {
			if m.Lifecycle == "Warmed:Stopped" {
				resting++
			}
		}
		if pool != resting {
			left = append(left, finding(g.Name, "%d members on their way", pool-resting))
		}
	}
	return left
}

// leftOfInstances finds instances that belong to nobody, and machines without one.
func leftOfInstances(w *Watch, s *Snapshot) (left []Finding) {
	members := map[string]bool{}
	for _, g := range s.Groups {
		for _, m := range g.Members {
			members[m.InstanceID] = true
		}
	}
	for _, i := range s.Instances {
		if _, master := w.Masters[i.ID]; i.State != awssim.Terminated && !master && !members[i.ID] {
			left = append(left, finding(i.ID, "an instance that is %s and in no group", i.State))
		}
	}
	return append(left, machineWithoutInstance(w, s)...)
}

func leftOfNodes(s *Snapshot) (left []Finding) {
	for _, n := range s.workers() {
		marks := []string{}
		for _, t := range n.Spec.Taints {
			if t.Key == kube.ToBeDeletedTaint || t.Key == kube.DeletionCandidateTaint {
				marks = append(marks, "taint "+t.Key)
			}
		}
		for _, a := range []string{kube.CordonedAnnotation, kube.DrainingAnnotation} {
			if _, ok := n.Annotations[a]; ok {
				marks = append(marks, "annotation "+a)
			}
		}
		if n.Spec.Unschedulable {
			marks = append(marks, "cordoned")
		}
		if slices.Sort(marks); len(marks) > 0 {
			left = append(left, finding(n.Name, "%s", fmt.Sprint(marks)))
		}
	}
	return left
}
