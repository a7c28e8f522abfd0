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
	"github.com/joinery/joinery/controlplane/instances"
)

// own is the Node of the instance, as EC2 and the API server know both.
func own(n csr.Node) csr.Node {
	n.InstanceID = instanceID
	_, f := honest()
	i := f.Candidates[0]
	i.PrivateDNSName, i.PublicDNSName = nodeName, "ec2-203-0-113-7.us-west-2.compute.amazonaws.com"
	i.Addresses = []netip.Addr{netip.MustParseAddr("10.99.0.12"), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::12")}
	n.Instance = &i
	return n
}

func ownNode(change func(*csr.Node)) change {
	return func(_ *csr.Request, f *csr.Facts) {
		n := own(csr.Node{Ready: true})
		change(&n)
		f.Node = &n
	}
}

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
	{"a node that lives", ownNode(func(*csr.Node) {}), csr.Approve, csr.Approve, csr.Renewed},
	{"a node that is not Ready", ownNode(func(n *csr.Node) { n.Ready = false }), csr.Approve, csr.Approve, csr.Renewed},
	{"launched a year ago", ownNode(func(n *csr.Node) { n.Instance.LaunchTime = launch.AddDate(-1, 0, 0) }), csr.Approve, csr.Approve, csr.Renewed},
	{"terminated", ownNode(func(n *csr.Node) { n.Instance.State = "terminated" }), csr.Deny, csr.Deny, csr.NotRunning},
	{"shutting down", ownNode(func(n *csr.Node) { n.Instance.State = "shutting-down" }), csr.Deny, csr.Deny, csr.NotRunning},
	{"stopped", ownNode(func(n *csr.Node) { n.Instance.State = "stopped" }), csr.Hold, csr.Deny, csr.NotRunning},
	{"unknown to EC2", ownNode(func(n *csr.Node) { n.Instance = nil }), csr.Hold, csr.Deny, csr.NoInstance},
	{"in another VPC", ownNode(func(n *csr.Node) { n.Instance.VPC = "vpc-2" }), csr.Deny, csr.Deny, csr.OtherVPC},
	{"of another cluster", ownNode(func(n *csr.Node) { n.Instance.Cluster = "prod" }), csr.Deny, csr.Deny, csr.OtherCluster},
	{"joined by somebody else", ownNode(func(n *csr.Node) { n.Instance.Cluster, n.Instance.Group, n.Instance.PrivateIP = "", "", "10.99.0.99" }), csr.Approve, csr.Approve, csr.Renewed},
	{"ours under another name", ownNode(func(n *csr.Node) { n.Instance.PrivateIP = "10.99.0.99" }), csr.Deny, csr.Deny, csr.WrongName},
	{"a master", ownNode(func(n *csr.Node) { n.ControlPlane, n.Instance.PrivateIP, n.Instance.Group = true, "10.99.0.99", "" }), csr.Approve, csr.Approve, csr.Renewed},
	{"a master that is gone", ownNode(func(n *csr.Node) { n.ControlPlane, n.Instance.State = true, "terminated" }), csr.Deny, csr.Deny, csr.NotRunning},
	{"a node without provider id", ownNode(func(n *csr.Node) { n.InstanceID, n.Instance = "", nil }), csr.Approve, csr.Approve, csr.Renewed},
	{"a node without provider id, of another cluster", both(ownNode(func(n *csr.Node) { n.InstanceID, n.Instance = "", nil }),
		instance(func(i *instances.Instance) { i.Cluster = "prod" })), csr.Deny, csr.Deny, csr.OtherCluster},
	{"a node without provider id or instance", both(ownNode(func(n *csr.Node) { n.InstanceID, n.Instance = "", nil }),
		func(_ *csr.Request, f *csr.Facts) { f.Candidates = nil }), csr.Hold, csr.Deny, csr.NoInstance},

	{"first of its own", letIn(csr.Grant{Keys: []string{"k0"}}), csr.Approve, csr.Approve, csr.FirstOwn},
	{"first of its own again", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k1", OwnOf: 1}), csr.Approve, csr.Approve, csr.Repeated},
	{"second claimant", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1}), csr.Deny, csr.Deny, csr.SecondClaimant},
	{"joined again from the start", letIn(csr.Grant{Keys: []string{"k0", "k2"}, Own: "k9", OwnOf: 1}), csr.Approve, csr.Approve, csr.FirstOwn},
	{"never let in", func(*csr.Request, *csr.Facts) {}, csr.Hold, csr.Hold, csr.NotGranted},
	{"let in, in an earlier launch", grant(csr.Grant{Launch: launch.Add(-time.Hour), Keys: []string{"k0"}}), csr.Hold, csr.Hold, csr.NotGranted},
	{"its instance is gone", both(letIn(csr.Grant{Keys: []string{"k0"}}), instance(func(i *instances.Instance) { i.State, i.PrivateIP = "terminated", "" })), csr.Deny, csr.Deny, csr.NotRunning},
	{"its instance is forgotten", both(letIn(csr.Grant{Keys: []string{"k0"}}), func(_ *csr.Request, f *csr.Facts) { f.Candidates = nil }), csr.Hold, csr.Deny, csr.NoInstance},
	{"another instance of its name is gone", both(grant(csr.Grant{Launch: launch, Node: "other", Keys: []string{"k0"}}), instance(func(i *instances.Instance) { i.State, i.PrivateIP = "terminated", "" })), csr.Hold, csr.Deny, csr.NoInstance},
	{"its group lets it go", both(letIn(csr.Grant{Keys: []string{"k0"}}), lifecycle("Terminating")), csr.Deny, csr.Deny, csr.Leaving},
	{"joined, node deleted", letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1, Joined: true}), csr.Deny, csr.Deny, csr.AlreadyJoined},

	{"the short-lived certificate, half joined", both(ownNode(func(n *csr.Node) { n.Ready = false }), letIn(csr.Grant{Keys: []string{"k0"}}), shortLived), csr.Approve, csr.Approve, csr.FirstOwn},
	{"the short-lived certificate again", both(ownNode(func(*csr.Node) {}), letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1}), shortLived), csr.Deny, csr.Deny, csr.SecondClaimant},
	{"the short-lived certificate after the join", both(ownNode(func(*csr.Node) {}), letIn(csr.Grant{Keys: []string{"k0"}, Own: "k9", OwnOf: 1, Joined: true}), shortLived), csr.Deny, csr.Deny, csr.AlreadyJoined},
	{"the short-lived certificate of a gone instance", both(ownNode(func(n *csr.Node) { n.Instance.State = "terminated" }), letIn(csr.Grant{Keys: []string{"k0"}}), shortLived), csr.Deny, csr.Deny, csr.NotRunning},
}

func TestDecideRenewal(t *testing.T) {
	for _, test := range renewals {
		for age, want := range map[time.Duration]csr.Action{30 * time.Second: test.young, 5 * time.Minute: test.old} {
			t.Run(test.name+" after "+age.String(), func(t *testing.T) {
				r, f := honest()
				r.Kind = csr.Renewal
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
	node := ownNode(func(*csr.Node) {})
	for _, test := range []struct {
		name       string
		change     change
		young, old csr.Action
		reason     csr.Reason
	}{
		{"its name and address", both(node, serves([]string{nodeName}, "10.99.0.12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"an address alone", both(node, serves(nil, "2001:db8::12")), csr.Approve, csr.Approve, csr.ServesItself},
		{"its public name, in capitals", both(node, serves([]string{"EC2-203-0-113-7.us-west-2.compute.amazonaws.com"}, "203.0.113.7")), csr.Approve, csr.Approve, csr.ServesItself},
		{"a master's address", both(node, serves([]string{nodeName}, "10.99.0.12", "10.99.0.11")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"the cluster's name", both(node, serves([]string{nodeName, "kubernetes.default.svc"}, "10.99.0.12")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"a wildcard", both(node, serves([]string{"*.us-west-2.compute.internal"})), csr.Hold, csr.Deny, csr.ForeignNames},
		{"loopback", both(node, serves(nil, "127.0.0.1")), csr.Hold, csr.Deny, csr.ForeignNames},
		{"no address", both(node, func(r *csr.Request, _ *csr.Facts) { r.IPs = []netip.Addr{{}} }), csr.Hold, csr.Deny, csr.ForeignNames},
		{"an empty name", both(node, serves([]string{""})), csr.Hold, csr.Deny, csr.ForeignNames},
		{"no node yet", serves([]string{nodeName}), csr.Hold, csr.Deny, csr.NoInstance},
		{"its instance is gone", both(ownNode(func(n *csr.Node) { n.Instance.State = "terminated" }), serves([]string{nodeName})), csr.Deny, csr.Deny, csr.NotRunning},
		{"a master", both(ownNode(func(n *csr.Node) { n.ControlPlane, n.Instance.Group = true, "" }), serves([]string{nodeName})), csr.Approve, csr.Approve, csr.ServesItself},
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
