package csr_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/netip"
	"net/url"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/internal/fleet"
)

func both(changes ...change) change {
	return func(r *csr.Request, f *csr.Facts) {
		for _, c := range changes {
			c(r, f)
		}
	}
}

func letIn(g csr.Grant) change {
	g.Launch, g.Node = launch, nodeName
	return grant(g)
}

func shortLived(_ *csr.Request, f *csr.Facts) { f.ShortLived = true }

// renewals has a row for every reason that a kubelet's own request can meet.
var renewals = []struct {
	name       string
	change     change
	young, old csr.Action
	reason     csr.Reason
}{
	{"a node that was admitted", node(isReady, isAdmitted), csr.Approve, csr.Approve, csr.Renewed},
	{"a node that is not Ready", node(isAdmitted), csr.Approve, csr.Approve, csr.Renewed},
	{"launched a year ago", both(instance(func(i *fleet.Instance) { i.LaunchTime = launch.AddDate(-1, 0, 0) }), node(isAdmitted)), csr.Approve, csr.Approve, csr.Renewed},
	{"admitted, without provider id", node(isAdmitted, providerID("")), csr.Approve, csr.Approve, csr.Renewed},
	{"terminated", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.State = "terminated" })), csr.Deny, csr.Deny, csr.NotRunning},
	{"shutting down", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.State = "shutting-down" })), csr.Deny, csr.Deny, csr.NotRunning},
	{"stopped", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.State = "stopped" })), csr.Hold, csr.Deny, csr.NotRunning},
	{"unknown to EC2", node(isAdmitted, unknownToEC2), csr.Hold, csr.Deny, csr.NoInstance},
	{"in another VPC", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.VPC = "vpc-2" })), csr.Hold, csr.Hold, csr.Unbound},
	{"of another cluster", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.Cluster = "prod" })), csr.Hold, csr.Deny, csr.ImpostorNode},
	{"under another name", node(isAdmitted, shownAs(func(i *fleet.Instance) { i.PrivateIP = "10.99.0.99" })), csr.Deny, csr.Deny, csr.ImpostorNode},
	{"an address that EC2 does not show", node(isAdmitted, internalIPs("10.99.0.12", "10.99.0.66")), csr.Hold, csr.Deny, csr.ImpostorNode},
	{"without addresses", node(isAdmitted, internalIPs()), csr.Hold, csr.Hold, csr.Unbound},
	{"EC2 was not asked", node(isAdmitted, unasked), csr.Hold, csr.Hold, csr.EC2Unreachable},

	{"made again, bound to its instance", node(isReady, isAdmitted, madeAgain), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"made again, with another instance's id", node(isReady, isAdmitted, madeAgain, of(goneID, "running")), csr.Deny, csr.Deny, csr.ImpostorNode},
	{"bound, never admitted", node(isReady), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"a control-plane node", node(isReady, controlPlane), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"in another VPC, not adopted", node(isReady, shownAs(func(i *fleet.Instance) { i.VPC = "vpc-2" })), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"no instance, not adopted", node(isReady, providerID("gce:///x/y")), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"with another address, not adopted", node(isReady, internalIPs("10.99.0.66")), csr.Hold, csr.Hold, csr.ImpostorNode},

	{"adopted", node(isReady, isAdopted), csr.Approve, csr.Approve, csr.Renewed},
	{"an adopted control-plane node with another name", node(controlPlane, isAdopted, shownAs(func(i *fleet.Instance) { i.PrivateIP = "10.99.0.99" })), csr.Approve, csr.Approve, csr.Renewed},
	{"adopted, in another VPC", node(isAdopted, shownAs(func(i *fleet.Instance) { i.VPC = "vpc-2" })), csr.Approve, csr.Approve, csr.Renewed},
	{"adopted, no instance", node(providerID(""), isAdopted), csr.Approve, csr.Approve, csr.Renewed},
	{"adopted, of an account that EC2 does not show", node(unknownToEC2, isAdopted, notInEC2), csr.Approve, csr.Approve, csr.Renewed},
	{"adopted, its instance gone", node(isAdopted, shownAs(func(i *fleet.Instance) { i.State = "terminated" })), csr.Deny, csr.Deny, csr.NotRunning},
	{"adopted, its instance forgotten", node(unknownToEC2, isAdopted), csr.Hold, csr.Deny, csr.NoInstance},
	{"adopted, made again", node(isReady, isAdopted, madeAgain), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"adopted as no instance, and now it says it is one", node(providerID(""), isAdopted, shownAs(func(i *fleet.Instance) { i.PrivateIP = "10.99.0.99" }), providerID("aws:///us-west-2a/"+instanceID)), csr.Hold, csr.Hold, csr.ImpostorNode},

	{"first of its own", letIn(csr.Grant{Keys: []string{"k0"}}), csr.Approve, csr.Approve, csr.FirstOwn},
	{"first of its own again", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k1", OwnOf: 1}), csr.Approve, csr.Approve, csr.Repeated},
	{"second claimant", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1}), csr.Deny, csr.Deny, csr.SecondClaimant},
	{"joined again from the start", letIn(csr.Grant{Keys: []string{"k0", "k2"}, Own: "k9", OwnOf: 1}), csr.Approve, csr.Approve, csr.FirstOwn},
	{"never let in", func(*csr.Request, *csr.Facts) {}, csr.Hold, csr.Hold, csr.NotGranted},
	{"let in, in an earlier launch", grant(csr.Grant{Launch: launch.Add(-time.Hour), Keys: []string{"k0"}}), csr.Hold, csr.Hold, csr.NotGranted},
	{"its instance is gone", both(letIn(csr.Grant{Keys: []string{"k0"}}), instance(func(i *fleet.Instance) { i.State, i.PrivateIP = "terminated", "" })), csr.Deny, csr.Deny, csr.NotRunning},
	{"its instance is forgotten", both(letIn(csr.Grant{Keys: []string{"k0"}}), func(_ *csr.Request, f *csr.Facts) { f.Candidates = nil }), csr.Hold, csr.Deny, csr.NoInstance},
	{"another instance of its name is gone", both(grant(csr.Grant{Launch: launch, Node: "other", Keys: []string{"k0"}}), instance(func(i *fleet.Instance) { i.State, i.PrivateIP = "terminated", "" })), csr.Hold, csr.Deny, csr.NoInstance},
	{"its group lets it go", both(letIn(csr.Grant{Keys: []string{"k0"}}), lifecycle("Terminating")), csr.Deny, csr.Deny, csr.Leaving},
	{"joined, node deleted", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1, Joined: true}), csr.Deny, csr.Deny, csr.AlreadyJoined},

	{"the short-lived certificate, half joined", both(node(), letIn(csr.Grant{Keys: []string{"k0"}}), shortLived), csr.Approve, csr.Approve, csr.FirstOwn},
	{"half joined, before Kubernetes 1.32", both(node(), letIn(csr.Grant{Keys: []string{"k0"}}), func(r *csr.Request, _ *csr.Facts) { r.Credential = "" }), csr.Approve, csr.Approve, csr.FirstOwn},
	{"half joined, with another certificate", both(node(), letIn(csr.Grant{Keys: []string{"k0"}})), csr.Hold, csr.Hold, csr.NotAdmitted},
	{"the short-lived certificate again", both(node(isReady), letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1}), shortLived), csr.Deny, csr.Deny, csr.SecondClaimant},
	{"the short-lived certificate after the join", both(node(isReady, isAdmitted), letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1, Joined: true}), shortLived), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"the short-lived certificate of a gone instance", both(node(shownAs(func(i *fleet.Instance) { i.State = "terminated" })), letIn(csr.Grant{Keys: []string{"k0"}}), shortLived), csr.Deny, csr.Deny, csr.NotRunning},
	{"the short-lived certificate for an adopted node", both(node(isReady, isAdopted), shortLived), csr.Hold, csr.Hold, csr.NotGranted},
}

func TestDecideRenewal(t *testing.T) {
	for _, test := range renewals {
		for age, want := range map[time.Duration]csr.Action{30 * time.Second: test.young, 5 * time.Minute: test.old} {
			t.Run(test.name+" after "+age.String(), func(t *testing.T) {
				r, f := honest()
				r.Kind, r.Credential = csr.Renewal, "X509SHA256=own"
				test.change(&r, &f)
				v := csr.Decide(r, f, launch.Add(age), policy)
				if v.Action != want || v.Reason != test.reason || v.Message == "" {
					t.Errorf("got %s %s (%s): expected %s %s", v.Action, v.Reason, v.Message, want, test.reason)
				}
			})
		}
	}
}

func serves(dns []string, ips ...string) change {
	return func(r *csr.Request, _ *csr.Facts) {
		r.DNSNames, r.IPs = dns, nil
		for _, ip := range ips {
			r.IPs = append(r.IPs, netip.MustParseAddr(ip))
		}
	}
}

func TestDecideServing(t *testing.T) {
	lives := node(isReady, isAdmitted)
	onPremises := node(isReady, providerID(""), isAdopted)
	for _, test := range []struct {
		name       string
		change     change
		young, old csr.Action
		reason     csr.Reason
	}{
		{"its name and address", both(lives, serves([]string{nodeName}, "10.99.0.12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"an address alone", both(lives, serves(nil, "2001:db8::12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"its public name, in capitals", both(lives, serves([]string{"EC2-203-0-113-7.us-west-2.compute.amazonaws.com"}, "203.0.113.7")), csr.Approve, csr.Approve, csr.ServesItself},
		{"a master's address", both(lives, serves([]string{nodeName}, "10.99.0.12", "10.99.0.11")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"the cluster's name", both(lives, serves([]string{nodeName, "kubernetes.default.svc"}, "10.99.0.12")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"a wildcard", both(lives, serves([]string{"*.us-west-2.compute.internal"})), csr.Hold, csr.Deny, csr.ForeignNames},
		{"loopback", both(lives, serves(nil, "127.0.0.1")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"no address", both(lives, func(r *csr.Request, _ *csr.Facts) { r.IPs = []netip.Addr{{}} }), csr.Hold, csr.Deny, csr.ForeignNames},
		{"an empty name", both(lives, serves([]string{""})), csr.Hold, csr.Deny, csr.ForeignNames},
		{"no node yet", serves([]string{nodeName}), csr.Hold, csr.Deny, csr.NoInstance},
		{"its instance is gone", both(node(isAdmitted, shownAs(func(i *fleet.Instance) { i.State = "terminated" })), serves([]string{nodeName})), csr.Deny, csr.Deny, csr.NotRunning},
		{"a secondary address", both(lives, serves([]string{nodeName}, "10.99.0.112")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"another interface's address", both(lives, serves([]string{nodeName}, "10.99.1.12")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"a pod's IPv6 address", both(lives, serves([]string{nodeName}, "2001:db8::112")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"during the join", both(node(), letIn(csr.Grant{Keys: []string{"k0"}}), serves([]string{nodeName}, "10.99.0.12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"never admitted", both(node(isReady), serves([]string{nodeName}, "10.99.0.12")), csr.Hold, csr.Hold, csr.NotAdmitted},
		{"made again after the join", both(node(isReady, isAdmitted, madeAgain), letIn(csr.Grant{Keys: []string{"k0"}, Joined: true}), serves([]string{nodeName})), csr.Hold, csr.Hold, csr.NotAdmitted},
		{"an impostor for its victim", both(node(isReady, of(goneID, "running")), serves(nil, "10.99.0.77")), csr.Deny, csr.Deny, csr.ImpostorNode},
		{"a control-plane node", both(node(isReady, controlPlane, isAdopted), serves([]string{nodeName}, "10.99.0.12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"a control-plane node, for what was recorded", both(node(isReady, controlPlane, isAdopted), serves([]string{"worker.example"})), csr.Hold, csr.Deny, csr.ForeignNames},
		{"adopted, no instance", both(onPremises, serves([]string{nodeName, "worker.example"}, "192.0.2.7")), csr.Approve, csr.Approve, csr.ServesItself},
		{"adopted, no instance, for another address", both(onPremises, serves([]string{nodeName}, "10.99.0.12")), csr.Hold, csr.Deny, csr.ForeignNames},
	} {
		for age, want := range map[time.Duration]csr.Action{30 * time.Second: test.young, 5 * time.Minute: test.old} {
			t.Run(test.name+" after "+age.String(), func(t *testing.T) {
				r, f := honest()
				r.Kind = csr.Serving
				test.change(&r, &f)
				v := csr.Decide(r, f, launch.Add(age), policy)
				if v.Action != want || v.Reason != test.reason || v.Remember != nil {
					t.Errorf("got %s %s (%s): expected %s %s", v.Action, v.Reason, v.Message, want, test.reason)
				}
			})
		}
	}
}

// nodeRequest is what a kubelet asks for itself.
func nodeRequest(t testing.TB, signer string, tmpl *x509.CertificateRequest) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	c := agentRequest(t, encode(t, tmpl, newKey(t)))
	c.Spec.SignerName, c.Spec.ExpirationSeconds = signer, nil
	c.Spec.Username, c.Spec.Groups = "system:node:"+nodeName, []string{"system:nodes", "system:authenticated"}
	if signer == certificatesv1.KubeletServingSignerName {
		c.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth}
	}
	return c
}

func TestParseOfNodes(t *testing.T) {
	type request = certificatesv1.CertificateSigningRequest
	const client, serving = certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
	names := func(change func(*x509.CertificateRequest)) *x509.CertificateRequest {
		r := template()
		r.DNSNames, r.IPAddresses = []string{nodeName}, []net.IP{net.IPv4(10, 99, 0, 12)}
		change(r)
		return r
	}
	unchanged := func(*request) {}
	for _, test := range []struct {
		name   string
		signer string
		tmpl   *x509.CertificateRequest
		change func(*request)
		want   csr.Reason
	}{
		{"renewal", client, template(), unchanged, ""},
		{"renewal of another", client, template(), func(c *request) { c.Spec.Username = "system:node:other" }, csr.WrongRequester},
		{"renewal with names", client, names(func(*x509.CertificateRequest) {}), unchanged, csr.HasSANs},
		{"renewal for serving", client, template(), func(c *request) { c.Spec.Usages[1] = certificatesv1.UsageServerAuth }, csr.WrongUsages},
		{"serving", serving, names(func(*x509.CertificateRequest) {}), unchanged, ""},
		{"serving with key encipherment", serving, names(func(*x509.CertificateRequest) {}), func(c *request) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		}, ""},
		{"serving of another", serving, names(func(*x509.CertificateRequest) {}), func(c *request) { c.Spec.Username = "system:node:other" }, csr.WrongRequester},
		{"serving with a token", serving, names(func(*x509.CertificateRequest) {}), func(c *request) {
			c.Spec.Username, c.Spec.Groups = "system:bootstrap:abcdef", []string{v1alpha1.BootstrapGroup}
		}, csr.WrongRequester},
		{"serving nothing", serving, template(), unchanged, csr.NoSANs},
		{"serving mail", serving, names(func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@b"} }), unchanged, csr.ForeignNames},
		{"serving a URI", serving, names(func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "x"}} }), unchanged, csr.ForeignNames},
		{"serving as a CA", serving, names(func(r *x509.CertificateRequest) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte{0x30, 3, 1, 1, 0xff}}}
		}), unchanged, csr.HasSANs},
		{"serving and client", serving, names(func(*x509.CertificateRequest) {}), func(c *request) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageClientAuth)
		}, csr.WrongUsages},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := nodeRequest(t, test.signer, test.tmpl)
			test.change(c)
			r := csr.Parse(c)
			var got csr.Reason
			if r.Problem != nil {
				got = r.Problem.Reason
			}
			if got != test.want {
				t.Errorf("got %q: expected %q", got, test.want)
			}
		})
	}
}
