package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/joinery/joinery/controlplane/adopt"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/kube"
)

// witness is the part of awsfleet.Reader that is used.
type witness interface {
	Evidence(ctx context.Context, q binding.Questions, maxAge time.Duration) (binding.Evidence, error)
}

// looker is the part of images.Looker that is used.
type looker interface {
	Look(ctx context.Context) ([]images.Image, error)
}

// Site is where the cluster's nodes are, and by what rules they are judged.
type Site struct {
	// Policy of the approver.
	Policy csr.Policy
	// Fleet says what EC2 knows.
	Fleet witness
	// Images says which images groups launch from.
	Images looker
}

// certificates judges the next request of every Node by the approver's own
// function: an operator learns before it happens which Node loses its certificate.
// Without EC2 only Nodes are found that neither joined nor were adopted.
func certificates(ctx context.Context, c Cluster, now time.Time) ([]Finding, error) {
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	book, err := adopt.Read(ctx, c.Client)
	if err != nil {
		return nil, err
	}
	x := exam{now: now, nodes: list.Items, book: book, evidence: binding.Evidence{Asked: map[string]bool{}}}
	if x.grants, err = csr.NewGrants(c.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem), 0).All(ctx); err != nil {
		return nil, err
	}
	var trouble []error
	if c.Site != nil {
		trouble = append(trouble, x.ask(ctx, c))
	}
	var unread error
	x.serving, unread = serverTLSBootstrap(ctx, c)
	approvals, err := posture.Ask(ctx, c.Client.AuthorizationV1().SubjectAccessReviews())
	for _, a := range approvals {
		x.open = x.open || a.Right == posture.SelfNodeClient && a.Unsafe()
	}
	return x.judge(), errors.Join(append(trouble, unread, err)...)
}

// ask asks EC2 about every Node.
func (x *exam) ask(ctx context.Context, c Cluster) error {
	s, err := c.Site(ctx)
	if err != nil {
		return err
	}
	x.policy = s.Policy
	e, err := s.Fleet.Evidence(ctx, binding.Ask(x.claims(), x.book.Records, s.Policy.Rules()), 0)
	if err != nil {
		return fmt.Errorf("ask EC2 about the instances of nodes: %w", err)
	}
	x.evidence, x.asked = e, true
	return nil
}

// serverTLSBootstrap reports whether kubelets ask the cluster for their serving
// certificates, as kubeadm's configuration of kubelets says.
func serverTLSBootstrap(ctx context.Context, c Cluster) (bool, error) {
	cm, err := c.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "kubelet-config", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the kubelets' configuration: %w", err)
	}
	var k struct {
		ServerTLSBootstrap bool `json:"serverTLSBootstrap"`
	}
	if err := yaml.Unmarshal([]byte(cm.Data["kubelet"]), &k); err != nil {
		return false, fmt.Errorf("read ConfigMap kube-system/kubelet-config: %w", err)
	}
	return k.ServerTLSBootstrap, nil
}

// exam is what is known about the cluster's Nodes.
type exam struct {
	now      time.Time
	nodes    []corev1.Node
	book     adopt.Book
	grants   map[string]csr.Grant
	policy   csr.Policy
	evidence binding.Evidence
	asked    bool // EC2 was asked
	serving  bool // kubelets ask for serving certificates too
	open     bool // kube-controller-manager still renews by itself
}

func (x *exam) claims() []binding.Node {
	out := make([]binding.Node, len(x.nodes))
	for i := range x.nodes {
		out[i] = binder.NodeOf(&x.nodes[i])
	}
	return out
}

// judge returns a finding for each Node that would not get its certificate.
func (x *exam) judge() []Finding {
	verdicts := binding.Judge(x.claims(), x.evidence, x.book.Records, x.policy.Rules())
	var out []Finding
	unknown := 0
	for i := range x.nodes {
		n := &x.nodes[i]
		if err := x.book.Broken[n.Name]; err != nil {
			out = append(out, Finding{Level: Broken, Found: fmt.Sprintf("record of node %s in ConfigMap kube-system/%s: %v", n.Name, binder.RecordsName, err), Why: "it is not known whether the node was adopted, so its renewal is held",
				Mend: "joinery adopt --remove " + n.Name + " && joinery adopt " + n.Name})
			continue
		}
		f := csr.Facts{Node: csr.NodeOf(n, verdicts[n.Name], x.book.Records), Grants: x.grants}
		v := csr.Decide(x.request(n, csr.Renewal), f, x.now, x.policy)
		what := "client"
		if v.Action == csr.Approve && x.serving && !x.policy.ServingDisabled {
			v, what = csr.Decide(x.request(n, csr.Serving), f, x.now, x.policy), "serving"
		}
		switch {
		case v.Action == csr.Approve:
		case v.Reason == csr.EC2Unreachable && !x.asked:
			unknown++
		default:
			out = append(out, x.loses(n.Name, what, v))
		}
	}
	if unknown > 0 {
		out = append(out, Finding{Level: Skipped, Found: fmt.Sprintf("%d nodes were not looked at: EC2 was not asked, as no --config was given", unknown)})
	}
	if len(out) == 0 {
		return well("the next certificate of each of %d nodes would be approved", len(x.nodes))
	}
	return out
}

// request is what the Node's kubelet asks for when its certificate is about to end.
// It is an old one: what is only late at EC2 has shown itself by now.
func (x *exam) request(n *corev1.Node, kind csr.Kind) csr.Request {
	r := csr.Request{
		Name: "doctor", Kind: kind, Node: n.Name, Requester: kube.NodeUser(n.Name), Key: "doctor",
		Created: x.now.Add(-time.Hour), Credential: "doctor",
	}
	if kind != csr.Serving {
		return r
	}
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil {
			r.IPs = append(r.IPs, ip)
		} else {
			r.DNSNames = append(r.DNSNames, a.Address)
		}
	}
	return r
}

// loses says which Node loses its certificate, and what keeps it.
func (x *exam) loses(node, what string, v csr.Verdict) Finding {
	when := "loses its " + what + " certificate at its end"
	if x.open && what == "client" {
		when = "loses its client certificate at its end, once kubeadm's binding " + posture.KubeadmRotation + " is removed"
	}
	f := Finding{
		Level: Broken, Found: fmt.Sprintf("node %s %s: %s: %s", node, when, v.Reason, v.Message),
		Why: "its kubelet can no longer talk to the API server then, and the node stops to serve", Mend: "joinery adopt --config /etc/joinery/controller.yaml " + node,
	}
	if what == "serving" {
		f.Why = "kubectl logs, kubectl exec and the metrics of the node fail then"
		if v.Reason == csr.ForeignNames {
			f.Mend = "have the kubelet of " + node + " name its primary address alone (--node-ip), or kubectl certificate approve its requests"
		}
	}
	switch {
	case v.Action == csr.Deny && v.Reason != csr.ForeignNames:
		f.Level = Warning
		f.Why = "EC2 contradicts what the node says about itself, or its instance is gone: if that is so, it should lose it"
		f.Mend = "kubectl delete node " + node + ", or, if the node is honest: joinery adopt --config /etc/joinery/controller.yaml --force " + node
	case v.Reason == csr.EC2Unreachable:
		f.Level = Unknown
	}
	return f
}

// longLived is the life from which on a certificate of a kubelet is found to be too
// long. A kubelet renews when 70 to 90 % of it have passed, so that a week leaves
// almost a day for a controller that is away.
const longLived = 14 * 24 * time.Hour

// signingDuration judges for how long kube-controller-manager signs, a year unless
// it is told otherwise.
func signingDuration(f flags) []Finding {
	life := 365 * 24 * time.Hour
	if text := f["cluster-signing-duration"]; text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return []Finding{{Level: Unknown, Found: fmt.Sprintf("--cluster-signing-duration: %q: expected a duration", text),
				Why: "it is not known how long a stolen key is good", Mend: "--cluster-signing-duration=168h"}}
		}
		life = d
	}
	if life <= longLived {
		return nil
	}
	return []Finding{{
		Level: Warning, Found: fmt.Sprintf("certificates of kubelets are good for %d days (--cluster-signing-duration)", life/(24*time.Hour)),
		Why:  "a key that is stolen from a node is that node until its certificate ends, also when its instance is gone: Kubernetes revokes no certificate, and the approver only refuses the next one",
		Mend: "--cluster-signing-duration=168h",
	}}
}
