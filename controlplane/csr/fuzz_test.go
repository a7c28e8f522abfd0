package csr_test

import (
	"crypto/x509"
	"encoding/pem"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/fleet"
)

// FuzzParseOfNodes feeds what a node may ask for: whatever comes out without a
// problem is for the node that asks, and has no more in it than its kind allows.
func FuzzParseOfNodes(f *testing.F) {
	key := newKey(f)
	serving := template()
	serving.DNSNames, serving.IPAddresses = []string{nodeName}, []net.IP{net.IPv4(10, 99, 0, 12)}
	f.Add(encode(f, template(), key), false)
	f.Add(encode(f, serving, key), true)
	f.Fuzz(func(t *testing.T, text []byte, serve bool) {
		signer := certificatesv1.KubeAPIServerClientKubeletSignerName
		if serve {
			signer = certificatesv1.KubeletServingSignerName
		}
		c := nodeRequest(t, signer, template())
		c.Spec.Request = text
		r := csr.Parse(c)
		if r.Problem != nil {
			return
		}
		block, _ := pem.Decode(text)
		req, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || req.CheckSignature() != nil || "system:node:"+r.Node != c.Spec.Username {
			t.Fatalf("accepted %q: %v", text, err)
		}
		names := len(req.DNSNames) + len(req.IPAddresses)
		if serve != (names > 0) || names != len(r.DNSNames)+len(r.IPs) || (!serve && len(req.Extensions) > 0) {
			t.Errorf("accepted %q for serving %t", text, serve)
		}
	})
}

// dice reads choices out of what the fuzzer gives.
type dice []byte

func (d *dice) roll(sides int) int {
	if len(*d) == 0 {
		return 0
	}
	n := int((*d)[0]) % sides
	*d = (*d)[1:]
	return n
}

func pick[T any](d *dice, from ...T) T { return from[d.roll(len(from))] }

// wildNode makes a Node that tells the truth about itself or does not, and returns
// what it was made of.
func wildNode(d *dice, r *csr.Request, f *csr.Facts) *claims {
	changes := []func(*claims){
		providerID(pick(d, "aws:///us-west-2a/"+instanceID, "aws:///us-west-2a/"+instanceID, "aws:///us-west-2a/"+goneID, "", "gce:///x/y")),
		pick(d, internalIPs("10.99.0.12"), internalIPs("10.99.0.12"), internalIPs("10.99.0.12", "10.99.0.66"), internalIPs("10.99.0.66"), internalIPs()),
		func(c *claims) {
			c.known = append(c.known, fleet.Instance{ID: goneID, State: pick(d, "running", "terminated"), VPC: "vpc-1", PrivateIP: "10.99.0.66", Addresses: ips("10.99.0.66"), PrimaryAddresses: ips("10.99.0.66")})
			c.known = c.known[:d.roll(2)]
		},
	}
	for _, maybe := range []func(*claims){isReady, controlPlane, isAdmitted, isAdmitted, isAdopted, madeAgain, unasked} {
		if d.roll(3) == 1 {
			changes = append(changes, maybe)
		}
	}
	var made claims
	node(append(changes, func(c *claims) {
		if r, recorded := c.records[nodeName]; recorded {
			r.InEC2 = d.roll(2) == 1
			c.records[nodeName] = r
		}
		made = *c
	})...)(r, f)
	return &made
}

// wild makes a request and facts that fit or do not, and the Node that is in them;
// nil for none.
func wild(d *dice) (csr.Request, csr.Facts, csr.Policy, *claims) {
	r, f := honest()
	p := policy
	p.Proof = pick(d, v1alpha1.ProofRequire, v1alpha1.ProofAccept, v1alpha1.ProofOff, "")
	r.Kind = pick(d, csr.Bootstrap, csr.Renewal, csr.Serving, "")
	r.Legacy, r.Proof = d.roll(4) == 1, pick(d, "signed", "")
	r.Key = pick(d, "k1", "k2")
	r.Created = launch.Add(time.Duration(d.roll(3)) * 20 * time.Minute)
	if r.Kind == csr.Serving {
		r.DNSNames = pick(d, []string{nodeName}, []string{nodeName, "kubernetes"}, nil)
		r.IPs = pick(d, []netip.Addr{netip.MustParseAddr("10.99.0.12")}, []netip.Addr{netip.MustParseAddr("10.99.0.11")}, nil)
	}
	switch d.roll(3) {
	case 1:
		f.Proof.Identity = &attest.Identity{InstanceID: pick(d, instanceID, goneID)}
	case 2:
		f.Proof.False = &attest.FalseError{Why: attest.Rejected}
	}
	i := &f.Candidates[0]
	i.State = pick(d, "running", "pending", "stopped", "terminated")
	i.VPC = pick(d, "vpc-1", "vpc-2")
	i.Cluster = pick(d, "demo", "", "prod")
	i.PrivateIP = pick(d, "10.99.0.12", "10.99.0.99", "")
	lifecycle(fleet.Lifecycle(pick(d, "InService", "Pending:Wait", "Warmed:Running", "Terminating")))(&r, &f)
	f.ShortLived = d.roll(2) == 1
	if d.roll(2) == 1 {
		g := csr.Grant{Launch: pick(d, launch, launch.Add(-time.Hour)), Node: nodeName, Joined: d.roll(3) == 1}
		for range d.roll(6) {
			g.Keys = append(g.Keys, "k"+string(rune('1'+len(g.Keys))))
		}
		g.Until = launch.Add(time.Duration(d.roll(30)) * time.Minute)
		g.Own, g.OwnOf = pick(d, "", "k1", "k9"), d.roll(3)
		for range d.roll(4) {
			g.Rejoins = append(g.Rejoins, launch.Add(-time.Duration(d.roll(80))*time.Minute))
		}
		f.Grants = map[string]csr.Grant{instanceID: g}
	}
	var n *claims
	if d.roll(3) > 0 {
		n = wildNode(d, &r, &f)
	}
	if d.roll(5) == 1 {
		f.Candidates = nil
	}
	return r, f, p, n
}

// FuzzDecide says again, in other words, what no approval may lack.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 1, 0})
	f.Add([]byte(strings.Repeat("\x01", 40)))
	f.Fuzz(decideWildly)
}

// TestDecideWildly is FuzzDecide without the compiler's instruments, which take
// ten minutes to build here.
func TestDecideWildly(t *testing.T) {
	random := rand.NewChaCha8([32]byte{4})
	choices := make([]byte, 96)
	for range 200_000 {
		if _, err := random.Read(choices); err != nil {
			t.Fatal(err)
		}
		if decideWildly(t, choices); t.Failed() {
			t.Fatalf("choices %v", choices)
		}
	}
}

func decideWildly(t *testing.T, choices []byte) {
	d := dice(choices)
	r, facts, p, node := wild(&d)
	now := r.Created.Add(time.Duration(d.roll(40)) * time.Minute)
	v := csr.Decide(r, facts, now, p)
	if v.Message == "" || v.Reason == "" {
		t.Errorf("no reason: %+v", v)
	}
	if v.Action != csr.Approve {
		if v.Remember != nil {
			t.Errorf("%s remembers a grant", v.Action)
		}
		return
	}
	i := v.Instance
	granted := facts.Grants[i.ID]
	if !granted.Launch.Equal(i.LaunchTime) {
		granted = csr.Grant{}
	}
	switch {
	case r.Kind == csr.Bootstrap:
		checkLetIn(t, r, facts, p, v, granted, node)
	case node != nil:
		checkHolder(t, r, p, v, granted, *node)
	case r.Kind != csr.Renewal:
		t.Errorf("%s for a request of kind %q without a node", v.Reason, r.Kind)
	}
	if r.Kind == csr.Renewal && (node == nil || facts.ShortLived) {
		checkFirst(t, r, p, v, granted, node == nil)
	}
}

// checkFirst says what the first certificate of a kubelet may not lack; bare is one
// without a Node.
func checkFirst(t *testing.T, r csr.Request, p csr.Policy, v csr.Verdict, granted csr.Grant, bare bool) {
	t.Helper()
	i := v.Instance
	switch {
	case bare && (!i.Alive() || i.VPC != p.VPC || i.Cluster == "prod"):
		t.Errorf("%s for %+v", v.Reason, i)
	case granted.Joined || len(granted.Keys) == 0:
		t.Errorf("%s: a short-lived certificate is renewed for %+v", v.Reason, granted)
	case granted.OwnOf == len(granted.Keys) && granted.Own != "" && granted.Own != r.Key:
		t.Errorf("%s: a second claimant gets the kubelet's certificate", v.Reason)
	}
}

// checkHolder says what a Node that gets a certificate may not lack: either it is as
// an operator recorded it, and its instance is not gone; or it came from a join that
// was approved, and every fact says that it is its instance.
func checkHolder(t *testing.T, r csr.Request, p csr.Policy, v csr.Verdict, granted csr.Grant, c claims) {
	t.Helper()
	shown := map[string]fleet.Instance{}
	for _, i := range append(c.facts.Candidates[:len(c.facts.Candidates):len(c.facts.Candidates)], c.known...) {
		shown[i.ID] = i
	}
	if v.Instance.State != "" && len(c.facts.Candidates) == 0 {
		shown[v.Instance.ID] = v.Instance // the candidates were taken away after the Node was judged
	}
	id, _ := fleet.FromProviderID(c.node.Spec.ProviderID)
	rec, recorded := c.records[nodeName]
	switch i := shown[id]; {
	case recorded && rec.UID == string(c.node.UID) && rec.ProviderID == c.node.Spec.ProviderID:
		if _, has := shown[id]; !c.unasked && has && !i.Alive() || (!has || c.unasked) && id != "" && rec.InEC2 {
			t.Errorf("%s for an adopted node of %+v", v.Reason, i)
		}
		if r.Kind == csr.Serving && foreign(r) && shown[id].ID != "" {
			t.Errorf("%s: serves %v %v", v.Reason, r.DNSNames, r.IPs)
		}
		return
	case c.unasked, c.node.Spec.ProviderID != "" && id != instanceID:
		t.Errorf("%s for a node that claims %q", v.Reason, c.node.Spec.ProviderID)
	case !reflect.DeepEqual(c.node.Status.Addresses, []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.99.0.12"}}):
		t.Errorf("%s for a node with addresses %v", v.Reason, c.node.Status.Addresses)
	}
	label := c.node.Labels[binding.AdmittedLabel]
	switch i := v.Instance; {
	case i.ID != instanceID || !i.Alive() || i.VPC != p.VPC || i.Cluster == "prod" || i.PrivateIP != "10.99.0.12":
		t.Errorf("%s for %+v", v.Reason, i)
	case label != string(c.node.UID) && (granted.Joined || len(granted.Keys) == 0):
		t.Errorf("%s for a node of UID %s, admitted %q, granted %+v", v.Reason, c.node.UID, label, granted)
	case r.Kind == csr.Serving && foreign(r):
		t.Errorf("%s: serves %v %v", v.Reason, r.DNSNames, r.IPs)
	case r.Kind == "":
		t.Error("a request of no kind is approved")
	}
}

func foreign(r csr.Request) bool {
	for _, n := range r.DNSNames {
		if n != nodeName {
			return true
		}
	}
	for _, a := range r.IPs {
		if a != netip.MustParseAddr("10.99.0.12") {
			return true
		}
	}
	return false
}

func checkLetIn(t *testing.T, r csr.Request, f csr.Facts, p csr.Policy, v csr.Verdict, before csr.Grant, n *claims) {
	t.Helper()
	proven := f.Proof.Identity != nil && f.Proof.Identity.InstanceID == v.Instance.ID
	member, _ := f.Groups["workers"].Member(instanceID)
	state := member.LifecycleState
	late := r.Created.Sub(launch) > p.LaunchWindow && !state.Pending()
	switch {
	case (p.Proof == v1alpha1.ProofRequire || p.Proof == "") && !r.Legacy && (r.Proof == "" || !proven):
		t.Errorf("%s without the proof that is required", v.Reason)
	case f.Proof.False != nil && p.Proof != v1alpha1.ProofOff && !r.Legacy && r.Proof != "":
		t.Errorf("%s with a false proof", v.Reason)
	case !v.Instance.Alive() || v.Instance.VPC != p.VPC || v.Instance.ID != instanceID || v.Instance.Cluster != p.Cluster || v.Instance.PrivateIP != "10.99.0.12":
		t.Errorf("%s for %+v", v.Reason, v.Instance)
	case state.Pooled(), state.Leaving():
		t.Errorf("%s for an instance that is %s", v.Reason, state)
	case (before.Joined || late) && !proven:
		t.Errorf("%s without a proof for a launch that has joined or is long ago", v.Reason)
	case v.Remember == nil || len(v.Remember.Keys) > p.MaxGrants || len(v.Remember.Rejoins) > p.MaxRejoins && len(before.Rejoins) < len(v.Remember.Rejoins):
		t.Errorf("%s: %d certificates before, remembers %+v", v.Reason, len(before.Keys), v.Remember)
	case len(v.Remember.Keys) < len(before.Keys) && v.Reason != csr.Rejoined && v.Reason != csr.RejoinedAgain:
		t.Errorf("%s: %d certificates before, remembers %+v", v.Reason, len(before.Keys), v.Remember)
	}
	if n == nil {
		return
	}
	id, _ := fleet.FromProviderID(n.node.Spec.ProviderID)
	rec, recorded := n.records[nodeName]
	_, control := n.node.Labels["node-role.kubernetes.io/control-plane"]
	switch {
	case control, recorded && rec.UID == string(n.node.UID) && rec.ProviderID == n.node.Spec.ProviderID:
		t.Errorf("%s beside a node that an operator vouches for", v.Reason)
	case n.node.Spec.ProviderID != "" && id != instanceID:
		t.Errorf("%s beside the node of %q", v.Reason, n.node.Spec.ProviderID)
	case f.Node.Admitted && len(n.node.Status.Addresses) == 1 && (f.Node.Ready || f.Proof.Identity == nil):
		t.Errorf("%s next to its own node, which was admitted", v.Reason)
	case f.Node.Ready && len(n.node.Status.Addresses) > 0 && !proven:
		t.Errorf("%s without a proof beside a Ready node", v.Reason)
	}
}
