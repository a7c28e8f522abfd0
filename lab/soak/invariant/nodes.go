package invariant

import (
	"crypto/x509"
	"encoding/pem"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/lab/awssim"
)

func identityTwice(_ *Watch, s *Snapshot) (all []Finding) {
	names, owners := map[string]string{}, map[string]string{}
	for _, i := range s.Instances {
		if !live(i) {
			continue
		}
		if other := names[i.PrivateDNSName]; other != "" {
			all = append(all, finding(i.PrivateDNSName, "the name of %s and %s", other, i.ID))
		}
		names[i.PrivateDNSName] = i.ID
	}
	for n := range s.Nodes {
		node := &s.Nodes[n]
		id, ok := kube.InstanceOf(node)
		if !ok {
			continue // its kubelet has not said so yet
		}
		if other := owners[id]; other != "" {
			all = append(all, finding(node.Name, "%s is the instance of %s too", id, other))
		}
		owners[id] = node.Name
		if i, known := s.instance(id); known && i.PrivateDNSName != node.Name {
			all = append(all, finding(node.Name, "%s has the name %s", id, i.PrivateDNSName))
		}
	}
	return all
}

func nodeWithoutInstance(_ *Watch, s *Snapshot) (all []Finding) {
	for _, n := range s.workers() {
		id, _ := kube.InstanceOf(&n)
		if i, ok := s.instance(id); !ok || i.State == awssim.Terminated {
			all = append(all, finding(n.Name, "its instance %q is %q", id, i.State))
		}
	}
	return all
}

func nodeNotReady(_ *Watch, s *Snapshot) (all []Finding) {
	for _, n := range s.workers() {
		if !kube.KubeletReady(&n) {
			id, _ := kube.InstanceOf(&n)
			all = append(all, finding(string(n.UID)+" "+n.Name, "instance %s, Ready %s, taints %v", id, kube.ReadyStatus(&n), n.Spec.Taints))
		}
	}
	return all
}

func removalEndless(w *Watch, s *Snapshot) (all []Finding) {
	for _, n := range s.workers() {
		if kube.Leaving(&n) {
			all = append(all, finding(string(n.UID)+" "+n.Name, "taints %v, annotations %v", n.Spec.Taints, n.Annotations))
		}
	}
	return all
}

func podPending(_ *Watch, s *Snapshot) (all []Finding) {
	for _, p := range s.Pods {
		if p.Status.Phase == corev1.PodPending && p.DeletionTimestamp == nil && p.Labels[Impossible] == "" {
			all = append(all, finding(string(p.UID)+" "+p.Name, "on %q: %s", p.Spec.NodeName, scheduled(&p)))
		}
	}
	return all
}

func scheduled(p *corev1.Pod) string {
	if c := kube.PodCondition(p, corev1.PodScheduled); c != nil {
		return string(c.Status) + " " + c.Reason + ": " + c.Message
	}
	return "not looked at by the scheduler"
}

func podEnding(_ *Watch, s *Snapshot) (all []Finding) {
	for _, p := range s.Pods {
		if p.DeletionTimestamp != nil {
			all = append(all, finding(string(p.UID)+" "+p.Name, "on %q, to end at %s", p.Spec.NodeName, p.DeletionTimestamp))
		}
	}
	return all
}

// strangerApproved finds kubelets' certificates in a name that no instance has had.
func strangerApproved(w *Watch, s *Snapshot) (all []Finding) {
	for _, r := range s.Requests {
		if !kubelets(r) || !approved(r) {
			continue
		}
		name := requested(r)
		node, ok := strings.CutPrefix(name, kube.NodeUserPrefix)
		if ok && w.names[node] == "" {
			all = append(all, finding(r.Name, "approved for %s, which no instance is", name))
		}
	}
	return all
}

// kubelets says whether a request is for a certificate of a kubelet.
func kubelets(r certificatesv1.CertificateSigningRequest) bool {
	return r.Spec.SignerName == certificatesv1.KubeAPIServerClientKubeletSignerName || r.Spec.SignerName == certificatesv1.KubeletServingSignerName
}

func approved(r certificatesv1.CertificateSigningRequest) bool {
	for _, c := range r.Status.Conditions {
		if c.Type == certificatesv1.CertificateApproved {
			return true
		}
	}
	return false
}

// requested is the name that a request is for; empty when it cannot be read.
func requested(r certificatesv1.CertificateSigningRequest) string {
	block, _ := pem.Decode(r.Spec.Request)
	if block == nil {
		return ""
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return ""
	}
	return request.Subject.CommonName
}

func machineWithoutInstance(_ *Watch, s *Snapshot) (all []Finding) {
	for _, id := range s.Machines {
		if i, ok := s.instance(id); !ok || i.State == awssim.Terminated {
			all = append(all, finding(id, "a machine of an instance that is %q", i.State))
		}
	}
	return all
}
