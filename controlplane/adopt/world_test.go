package adopt_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/adopt"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/controlplane/images"
	"github.com/joinery/joinery/internal/fleet/awsfleet"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// cluster is one that was there before Joinery: three control-plane nodes and four
// old nodes, one without provider id and on no instance, one in another VPC, one
// with a name of its own.
type cluster struct {
	*simcluster.Cluster
	policy csr.Policy
	names  []string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{Cluster: simcluster.New(t, &awssim.World{})}
	// kubeadm's bindings were removed.
	c.Client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, a.(clienttesting.CreateAction).GetObject(), nil
	})
	kubelet := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubelet-config"}, Data: map[string]string{"kubelet": "serverTLSBootstrap: true\n"}}
	if _, err := c.Client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), kubelet, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"control-1", "control-2", ""} {
		c.put(t, name, awssim.InstanceSpec{Tags: map[string]string{v1alpha1.ClusterTag: "demo"}}, "node-role.kubernetes.io/control-plane")
	}
	c.put(t, "", awssim.InstanceSpec{})
	c.put(t, "worker-with-a-name", awssim.InstanceSpec{})
	c.put(t, "", awssim.InstanceSpec{VPCID: "vpc-0fedcba9876543210"})
	c.create(t, "on-premises", "", []string{"192.0.2.7", "on-premises"})
	c.policy = csr.PolicyOf(v1alpha1.ControllerSpec{Cluster: "demo", Region: "us-west-2", VPCID: c.VPCID, Approver: v1alpha1.ApproverSettings{NodeNameMode: v1alpha1.IPName, STSProof: v1alpha1.ProofRequire}})
	return c
}

// put makes an instance and its Node, called as EC2 has it unless a name is given.
func (c *cluster) put(t *testing.T, name string, spec awssim.InstanceSpec, labels ...string) {
	t.Helper()
	i, err := c.AddInstance(spec)
	if err != nil {
		t.Fatal(err)
	}
	if name == "" {
		name = i.PrivateDNSName
	}
	c.create(t, name, "aws:///us-west-2a/"+i.ID, []string{i.PrivateIP, name}, labels...)
}

func (c *cluster) create(t *testing.T, name, providerID string, addresses []string, labels ...string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid of " + name), Labels: map[string]string{}}, Spec: corev1.NodeSpec{ProviderID: providerID}}
	for _, l := range labels {
		n.Labels[l] = ""
	}
	for _, a := range addresses {
		kind := corev1.NodeHostName
		if net.ParseIP(a) != nil {
			kind = corev1.NodeInternalIP
		}
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: kind, Address: a})
	}
	if _, err := c.Client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.names = append(c.names, name)
}

func (c *cluster) fleet() *awsfleet.Reader {
	return c.Readers(c.Config("operator")).Fleet
}

// ours are no one's: no token is made here.
type ours struct{}

func (ours) Issued(context.Context, string, time.Time) (bool, error) { return false, nil }

// lead runs an approver while do is done.
func (c *cluster) lead(t *testing.T, do func()) {
	t.Helper()
	by := c.ReadersBy(c.Config("operator"), c.policy.Rules())
	a := csr.NewApprover(csr.Deps{
		Client: c.Client, Store: by.Store, Finder: by.Fleet, Tokens: ours{},
		Binding: c.Binder(by.Fleet, c.policy.Rules(), func() ([]*corev1.Node, error) { return nil, nil }),
		Events:  c.Events, Metrics: csr.NewMetrics(prometheus.NewRegistry()), Log: c.Log,
	}, c.policy)
	stop := c.Start(a.Run)
	synctest.Wait() // an object that the API server in memory lists is shared with who slims it
	do()
	_ = stop()
}

// renew has every kubelet ask for both certificates, and returns the conditions of
// the requests by node and kind; "" for one that is held.
func (c *cluster) renew(t *testing.T, round int) map[string]string {
	t.Helper()
	out := map[string]string{}
	requests := c.Client.CertificatesV1().CertificateSigningRequests()
	c.lead(t, func() {
		for _, name := range c.names {
			for _, signer := range []string{certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName} {
				r := c.request(t, name, signer)
				r.Name = fmt.Sprintf("%d.%s.%s", round, name, signer[strings.LastIndex(signer, "-")+1:])
				if _, err := requests.Create(t.Context(), r, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		bubble.Sleep(5 * time.Minute)
	})
	all, err := requests.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.Items {
		out[r.Name] = ""
		for _, k := range r.Status.Conditions {
			if out[r.Name] += fmt.Sprintf("%s %s", k.Type, k.Reason); k.Type == certificatesv1.CertificateDenied {
				t.Logf("%s: %s", r.Name, k.Message)
			}
		}
		if err := requests.Delete(t.Context(), r.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// request is what the kubelet of a Node asks for.
func (c *cluster) request(t *testing.T, name, signer string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	n, err := c.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}}}
	usage := certificatesv1.UsageClientAuth
	if signer == certificatesv1.KubeletServingSignerName {
		usage = certificatesv1.UsageServerAuth
		for _, a := range n.Status.Addresses {
			if ip := net.ParseIP(a.Address); ip != nil {
				tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
			} else {
				tmpl.DNSNames = append(tmpl.DNSNames, a.Address)
			}
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Now()},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer,
			Usages:   []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
			Username: "system:node:" + name, Groups: []string{"system:nodes", "system:authenticated"},
			Extra: map[string]certificatesv1.ExtraValue{"authentication.kubernetes.io/credential-id": {"X509SHA256=own"}},
		},
	}
}

// noGroups is an account whose groups have no image yet.
type noGroups struct{}

func (noGroups) Look(context.Context) ([]images.Image, error) { return nil, nil }

// warned are the Nodes that the doctor says lose their certificate.
func (c *cluster) warned(t *testing.T) (levels map[doctor.Level]int, text string) {
	t.Helper()
	levels = map[doctor.Level]int{}
	for _, f := range doctor.Examine(t.Context(), doctor.Cluster{Client: c.Client, Name: "demo", Site: func(context.Context) (doctor.Site, error) {
		return doctor.Site{Policy: c.policy, Fleet: c.fleet(), Images: noGroups{}}, nil
	}}) {
		if f.Check == "certificates" {
			levels[f.Level]++
			text += fmt.Sprintf("%s: %s; %s\n", f.Level, f.Found, f.Mend)
		}
	}
	return levels, text
}

// An operator who follows the guide adopts what is there, and everything lives.
// Without that the doctor warns of every node, and nothing is denied.
func TestAYearOfRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		bubble.Sleep(time.Minute)
		levels, text := c.warned(t)
		if levels[doctor.Broken] != len(c.names) || len(levels) != 1 {
			t.Errorf("before the adoption the doctor says\n%s", text)
		}
		for request, got := range c.renew(t, 0) {
			if got != "" {
				t.Errorf("without adoption, %s: %s: expected it to be held", request, got)
			}
		}
		o := adopt.Options{Client: c.Client, Fleet: c.fleet(), Rules: c.policy.Rules()}
		lines, err := adopt.Run(t.Context(), o, adopt.Wish{All: true})
		if err != nil || !adopt.Complete(lines) || len(lines) != len(c.names) {
			t.Fatalf("%+v, %v", lines, err)
		}
		if levels, text = c.warned(t); levels[doctor.OK] != 1 || len(levels) != 1 {
			t.Errorf("after the adoption the doctor says\n%s", text)
		}
		for month := 1; month <= 12; month++ {
			bubble.Sleep(30 * 24 * time.Hour)
			got := c.renew(t, month)
			if len(got) != 2*len(c.names) {
				t.Fatalf("%d requests in month %d", len(got), month)
			}
			for request, got := range got {
				if got != "Approved JoineryRenewed" && got != "Approved JoineryServesItself" {
					t.Errorf("month %d, %s: %q", month, request, got)
				}
			}
		}
	})
}
