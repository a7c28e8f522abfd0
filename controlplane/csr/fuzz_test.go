package csr_test

import (
	"crypto/x509"
	"encoding/pem"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
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

// wild makes a request and facts that fit or do not.
func wild(d *dice) (csr.Request, csr.Facts, csr.Policy) {
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
	lifecycle(pick(d, "InService", "Pending:Wait", "Warmed:Running", "Terminating"))(&r, &f)
	f.ShortLived = d.roll(2) == 1
	if d.roll(3) > 0 {
		n := own(csr.Node{Ready: d.roll(2) == 1, ControlPlane: d.roll(4) == 1})
		n.Instance.State, n.Instance.VPC, n.Instance.Cluster = i.State, i.VPC, i.Cluster
		n.InstanceID = pick(d, instanceID, goneID, "")
		if d.roll(4) == 1 {
			n.Instance = nil
		}
		f.Node = &n
	}
	if d.roll(2) == 1 {
		g := csr.Grant{Launch: pick(d, launch, launch.Add(-time.Hour)), Node: nodeName, Joined: d.roll(3) == 1}
		for range d.roll(6) {
			g.Keys = append(g.Keys, "k"+string(rune('1'+len(g.Keys))))
		}
		g.Until = launch.Add(time.Duration(d.roll(30)) * time.Minute)
		g.Own, g.OwnOf = pick(d, "", "k1", "k9"), d.roll(3)
		f.Grants = map[string]csr.Grant{instanceID: g}
	}
	if d.roll(5) == 1 {
		f.Candidates = nil
	}
	return r, f, p
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
	choices := make([]byte, 64)
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
	r, facts, p := wild(&d)
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
	case !i.Alive() || i.VPC != p.VPC || i.Cluster == "prod":
		t.Errorf("%s for %+v", v.Reason, i)
	case r.Kind == csr.Bootstrap:
		checkLetIn(t, r, facts, p, v, granted)
	case r.Kind == csr.Renewal && (facts.Node == nil || facts.ShortLived) && (granted.Joined || len(granted.Keys) == 0):
		t.Errorf("%s: a short-lived certificate is renewed for %+v", v.Reason, granted)
	case r.Kind == csr.Renewal && (facts.Node == nil || facts.ShortLived) && granted.OwnOf == len(granted.Keys) && granted.Own != "" && granted.Own != r.Key:
		t.Errorf("%s: a second claimant gets the kubelet's certificate", v.Reason)
	case r.Kind == csr.Serving && (facts.Node == nil || foreign(r)):
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

func checkLetIn(t *testing.T, r csr.Request, f csr.Facts, p csr.Policy, v csr.Verdict, before csr.Grant) {
	t.Helper()
	proven := f.Proof.Identity != nil && f.Proof.Identity.InstanceID == v.Instance.ID
	switch {
	case (p.Proof == v1alpha1.ProofRequire || p.Proof == "") && !r.Legacy && (r.Proof == "" || !proven):
		t.Errorf("%s without the proof that is required", v.Reason)
	case f.Proof.False != nil && p.Proof != v1alpha1.ProofOff && !r.Legacy && r.Proof != "":
		t.Errorf("%s with a false proof", v.Reason)
	case v.Instance.ID != instanceID || v.Instance.Cluster != p.Cluster || v.Instance.PrivateIP != "10.99.0.12":
		t.Errorf("%s for %+v", v.Reason, v.Instance)
	case strings.HasPrefix(f.Groups["workers"].Lifecycles[instanceID], "Warmed"), f.Groups["workers"].Lifecycles[instanceID] == "Terminating":
		t.Errorf("%s for an instance that is %s", v.Reason, f.Groups["workers"].Lifecycles[instanceID])
	case f.Node != nil && (f.Node.ControlPlane || f.Node.InstanceID != instanceID || f.Node.Ready):
		t.Errorf("%s beside the node %+v", v.Reason, f.Node)
	case before.Joined:
		t.Errorf("%s for a launch that has joined", v.Reason)
	case v.Remember == nil || len(v.Remember.Keys) > p.MaxGrants || len(v.Remember.Keys) < len(before.Keys):
		t.Errorf("%s: %d certificates before, remembers %+v", v.Reason, len(before.Keys), v.Remember)
	}
}
