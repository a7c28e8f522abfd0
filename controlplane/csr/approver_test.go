package csr_test

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/joinery/joinery/agent/proof"
	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/csr"
	"github.com/joinery/joinery/lab/awssim"
	"github.com/joinery/joinery/lab/bubble"
	"github.com/joinery/joinery/lab/simcluster"
)

// rig is an approver between a simulated AWS with one managed group of one
// instance and an API server in memory.
type rig struct {
	*simcluster.Cluster
	instance awssim.Instance
	tokens   atomic.Pointer[tokens]
	legacy   atomic.Pointer[tokens]
	// stormProof is the false proof of a storm.
	stormProof map[string]string
}

// legacyTokens are those for old user data.
type legacyTokens struct{ *rig }

func (l legacyTokens) Issued(ctx context.Context, id string, asked time.Time) (bool, error) {
	return l.legacy.Load().Issued(ctx, id, asked)
}

// tokens are the ids of those that are ours; nil for those of an API server that
// is away.
type tokens map[string]bool

func (t tokens) Issued(_ context.Context, id string, _ time.Time) (bool, error) {
	if t == nil {
		return false, errors.New("API server is away")
	}
	return t[id], nil
}

func (r *rig) Issued(ctx context.Context, id string, asked time.Time) (bool, error) {
	return r.tokens.Load().Issued(ctx, id, asked)
}

// withRig runs test with a running approver, in a bubble with its own time.
func withRig(t *testing.T, test func(t *testing.T, r *rig)) {
	withMode(t, v1alpha1.ProofAccept, test)
}

// newRig makes the surroundings of an approver, in a bubble.
func newRig(t *testing.T) *rig {
	t.Helper()
	w := &awssim.World{}
	w.PutLaunchTemplate("nodes", awssim.LaunchTemplateData{ImageID: "ami-1", InstanceType: "m5.large", RoleName: "nodes"})
	if err := w.PutGroup(awssim.GroupSpec{Name: "workers", Max: 3, Desired: 1, LaunchTemplate: "nodes", Tags: simcluster.Tags()}); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(20 * time.Second)
	r := &rig{Cluster: simcluster.New(t, w), instance: w.Instances()[0]}
	r.tokens.Store(&tokens{"abcdef": true})
	r.legacy.Store(&tokens{})
	return r
}

// deps are what an approver works with that asks AWS by cfg. Its binder reads the Nodes
// from the API server itself, so that a test need not wait for a watch.
func (r *rig) deps(cfg aws.Config, p csr.Policy) csr.Deps {
	by := r.ReadersBy(cfg, p.Rules())
	return csr.Deps{
		Client: r.Client, Store: by.Store, Finder: by.Fleet, Binding: r.Binder(by.Fleet, p.Rules(), r.Listed),
		Tokens: r, Events: r.Events, Log: r.Log,
	}
}

func withMode(t *testing.T, mode v1alpha1.ProofMode, test func(t *testing.T, r *rig)) {
	t.Helper()
	withKind(t, mode, v1alpha1.ProofAny, test)
}

// withKind is withMode where proofs of one kind are good.
func withKind(t *testing.T, mode v1alpha1.ProofMode, kind v1alpha1.ProofKind, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cfg := r.Config("controller")
		cfg.RetryMaxAttempts = 1
		p := policy
		p.VPC = r.instance.VPCID
		p.Proof, p.Kind = mode, kind
		deps := r.deps(cfg, p)
		deps.Verifier = attest.NewVerifier(cfg, attest.Options{Cluster: simcluster.Name, Proof: kind, Roles: []string{"nodes"}, Transport: r.Transport()})
		deps.LegacyTokens, deps.Metrics = legacyTokens{r}, csr.NewMetrics(r.Registry)
		stop := r.Start(csr.NewApprover(deps, p).Run)
		synctest.Wait()
		test(t, r)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("approver ended with %v", err)
		}
	})
}

// ask creates an agent's request for the node name, without a proof, and gives it
// wait.
func (r *rig) ask(t *testing.T, name, node string, wait time.Duration) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	return r.send(t, name, r.request(t, node), wait)
}

// askProven is ask with a proof that is signed on the instance.
func (r *rig) askProven(t *testing.T, name, node string, wait time.Duration) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	c := r.request(t, node)
	c.Annotations = map[string]string{v1alpha1.STSProofAnnotation: r.prove(t, c.Spec.Request)}
	return r.send(t, name, c, wait)
}

// prove signs on the instance.
func (r *rig) prove(t *testing.T, request []byte) string {
	t.Helper()
	cfg := r.Config("unused")
	meta := imds.New(imds.Options{DisableDefaultTimeout: true, Endpoint: "http://169.254.169.254", HTTPClient: &http.Client{Transport: awssim.Transport(r.IMDS(r.instance.ID))}})
	cfg.Credentials = ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = meta })
	signed, err := proof.NewSigner(cfg).Prove(t.Context(), "demo", request)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (r *rig) request(t *testing.T, node string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	tmpl := template()
	tmpl.Subject.CommonName = "system:node:" + node
	return agentRequest(t, encode(t, tmpl, newKey(t)))
}

func (r *rig) send(t *testing.T, name string, c *certificatesv1.CertificateSigningRequest, wait time.Duration) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	c.Name, c.UID, c.ResourceVersion, c.CreationTimestamp = name, types.UID(name), "7", metav1.Now()
	if _, err := r.Client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bubble.Sleep(wait)
	return c
}

// outcome is "" while a request is open, else its condition and reason.
func (r *rig) outcome(t *testing.T, name string) string {
	t.Helper()
	c, err := r.Client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range c.Status.Conditions {
		out = append(out, fmt.Sprintf("%s %s", k.Type, k.Reason))
	}
	return strings.Join(out, ", ")
}

func (r *rig) want(t *testing.T, name, want string) {
	t.Helper()
	if got := r.outcome(t, name); got != want {
		t.Errorf("%s: got %q: expected %q", name, got, want)
	}
}

func (r *rig) putNode(t *testing.T, instanceID string, ready bool) *corev1.Node {
	t.Helper()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: r.instance.PrivateDNSName, UID: "n1", CreationTimestamp: metav1.Now()},
		Spec:       corev1.NodeSpec{ProviderID: "aws:///us-west-2a/" + instanceID},
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: r.instance.PrivateIP}}
	if ready {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	}
	n, err := r.Client.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestApprovesItsOwnInstanceAtOnce(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "a", r.instance.PrivateDNSName, 200*time.Millisecond)
		r.want(t, "a", "Approved JoineryAttested")
		if e := <-r.Events.Events; !strings.Contains(e, "Normal ApproveAttested") || !strings.Contains(e, r.instance.ID) {
			t.Errorf("event %q", e)
		}
		grants, err := r.Client.CoreV1().ConfigMaps("kube-system").Get(t.Context(), csr.GrantsName, metav1.GetOptions{})
		if err != nil || !strings.Contains(grants.Data[r.instance.ID], `"keys":["`) {
			t.Errorf("grants %v: %v", grants, err)
		}
	})
}

func TestDeniesAnotherName(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "master", "kubernetes-master", time.Second)
		r.want(t, "master", "Denied JoineryWrongName")
		r.ask(t, "nobody", "ip-10-99-0-200.us-west-2.compute.internal", time.Minute)
		r.want(t, "nobody", "")
		bubble.Sleep(2 * time.Minute)
		r.want(t, "nobody", "Denied JoineryNoInstance")
	})
}

func TestHoldsWhileEC2IsAway(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		remove := r.Inject(awssim.Fault{Service: "ec2", Code: awssim.Throttle})
		r.ask(t, "a", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "a", "")
		if e := <-r.Events.Events; !strings.Contains(e, "HoldEC2Unreachable") || len(r.Events.Events) != 0 {
			t.Errorf("event %q and %d more: expected one for the whole time", e, len(r.Events.Events))
		}
		remove()
		bubble.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

func TestHoldsUntilTheInstanceShows(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.Inject(awssim.Fault{InstanceID: r.instance.ID, LateDescribe: time.Minute})
		r.ask(t, "a", r.instance.PrivateDNSName, time.Second)
		r.want(t, "a", "")
		bubble.Sleep(time.Minute)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

func TestRequestsOfOthersAreNotTouched(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		c := r.request(t, r.instance.PrivateDNSName)
		c.Spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		r.send(t, "client", c, 0)
		c = r.request(t, r.instance.PrivateDNSName)
		c.Spec.Groups = []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"}
		r.send(t, "kubeadm", c, 5*time.Minute)
		r.want(t, "client", "")
		r.want(t, "kubeadm", "")
	})
}

// kubelet sends what the instance's kubelet asks for itself.
func (r *rig) kubelet(t *testing.T, name, signer, credential string, dns ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	tmpl := template()
	tmpl.Subject.CommonName, tmpl.DNSNames = "system:node:"+r.instance.PrivateDNSName, dns
	c := nodeRequest(t, signer, tmpl)
	c.Spec.Username = tmpl.Subject.CommonName
	c.Spec.Extra = map[string]certificatesv1.ExtraValue{"authentication.kubernetes.io/credential-id": {credential}}
	return r.send(t, name, c, 2*time.Second)
}

// An instance on its way into the warm pool is not to join yet.
func TestHoldsInTheWarmPool(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		g, err := r.Group("workers")
		if err != nil {
			t.Fatal(err)
		}
		g.WarmPool = &awssim.WarmPool{MinSize: 1, State: "Running"}
		if err := r.PutGroup(g.GroupSpec); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(20 * time.Second)
		all := r.Instances()
		r.instance = all[len(all)-1]
		r.askProven(t, "early", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "early", "")
		if e := <-r.Events.Events; !strings.Contains(e, "HoldWarmPool") {
			t.Errorf("event %q", e)
		}
		g.Desired = 2
		if err := r.PutGroup(g.GroupSpec); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(20 * time.Second)
		r.want(t, "early", "Approved JoineryProven")
	})
}

// A certificate that was stolen during a join is worth nothing once its instance
// is gone, although no Node and no address leads to that instance any more.
func TestStolenCertificateOfAnInstanceThatIsGone(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		joined := r.askProven(t, "join", r.instance.PrivateDNSName, time.Second)
		r.Terminate(r.instance.ID)
		r.Settle()
		r.kubelet(t, "late", certificatesv1.KubeAPIServerClientKubeletSignerName, r.issue(t, joined))
		r.want(t, "late", "Denied JoineryNotRunning")
	})
}

func TestKubeletsOwnCertificates(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		const client, serving = certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName
		r.kubelet(t, "too early", client, "")
		r.want(t, "too early", "")
		if err := r.Client.CertificatesV1().CertificateSigningRequests().Delete(t.Context(), "too early", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		joined := r.askProven(t, "join", r.instance.PrivateDNSName, time.Second)
		r.want(t, "join", "Approved JoineryProven")
		short := r.issue(t, joined)
		r.kubelet(t, "own", client, short)
		r.want(t, "own", "Approved JoineryFirstOwn")
		r.kubelet(t, "thief's", client, short)
		r.want(t, "thief's", "Denied JoinerySecondClaimant")
		r.putNode(t, r.instance.ID, true)
		bubble.Sleep(time.Second)
		r.kubelet(t, "serving", serving, "X509SHA256=own", r.instance.PrivateDNSName)
		r.want(t, "serving", "Approved JoineryServesItself")
		r.kubelet(t, "after the join", client, short)
		r.want(t, "after the join", "Denied JoineryAlreadyJoined")
		r.kubelet(t, "renewal", client, "X509SHA256=own")
		r.want(t, "renewal", "Approved JoineryRenewed")
		r.Terminate(r.instance.ID)
		bubble.Sleep(time.Minute)
		r.kubelet(t, "of the dead", client, "X509SHA256=own")
		r.want(t, "of the dead", "Denied JoineryNotRunning")
		r.kubelet(t, "short-lived, of the dead", client, short)
		r.want(t, "short-lived, of the dead", "Denied JoineryNotRunning")
	})
}

// issue does the signer's part and returns what the API server will call the
// certificate.
func (r *rig) issue(t *testing.T, c *certificatesv1.CertificateSigningRequest) (credential string) {
	t.Helper()
	c, err := r.Client.CertificatesV1().CertificateSigningRequests().Get(t.Context(), c.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	der := []byte("certificate of " + c.Name)
	c.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if _, err := r.Client.CertificatesV1().CertificateSigningRequests().UpdateStatus(t.Context(), c, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return fmt.Sprintf("X509SHA256=%x", sha256.Sum256(der))
}

// A Node that only says that it is the instance's does not end its right to join.
func TestNodeOfAnotherNameDoesNotCountAsJoined(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		rogue := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "rogue", CreationTimestamp: metav1.Now()},
			Spec:       corev1.NodeSpec{ProviderID: "aws:///us-west-2a/" + r.instance.ID},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		}
		if _, err := r.Client.CoreV1().Nodes().Create(t.Context(), rogue, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		bubble.Sleep(time.Second)
		r.askProven(t, "again", r.instance.PrivateDNSName, time.Second)
		r.want(t, "again", "Approved JoineryRegranted")
	})
}

func TestLegacyTokensNeedNoProof(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		old := func(name string) {
			c := r.request(t, r.instance.PrivateDNSName)
			c.Spec.Groups, c.Spec.ExpirationSeconds = []string{"system:bootstrappers", v1alpha1.LegacyBootstrapGroup}, nil
			r.send(t, name, c, time.Second)
		}
		old("none are made")
		r.want(t, "none are made", "")
		r.legacy.Store(&tokens{"abcdef": true})
		old("first")
		r.want(t, "first", "Approved JoineryAttested")
		old("second")
		r.want(t, "second", "")
	})
}

func TestGrantsAreBounded(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		for i, want := range []string{
			"Approved JoineryProven", "Approved JoineryRegranted", "Approved JoineryRegranted", "Approved JoineryRegranted", "Approved JoineryRegranted",
			"Denied JoineryTooManyGrants",
		} {
			name := fmt.Sprint("a", i)
			r.askProven(t, name, r.instance.PrivateDNSName, time.Second)
			r.want(t, name, want)
		}
	})
}

// Without a proof nobody can tell who of two is the instance: the second waits
// until the first one's certificate has ended.
func TestSecondClaimantWaits(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		r.want(t, "first", "Approved JoineryAttested")
		<-r.Events.Events
		r.ask(t, "second", r.instance.PrivateDNSName, 9*time.Minute)
		r.want(t, "second", "")
		if e := <-r.Events.Events; !strings.Contains(e, "Warning HoldSecondClaimant") {
			t.Errorf("event %q", e)
		}
		bubble.Sleep(2 * time.Minute)
		r.want(t, "second", "Approved JoineryRegranted")
	})
}

func TestRequiredProof(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		r.ask(t, "token alone", r.instance.PrivateDNSName, time.Second)
		r.want(t, "token alone", "Denied JoineryProofMissing")
		honest := r.askProven(t, "honest", r.instance.PrivateDNSName, time.Second)
		r.want(t, "honest", "Approved JoineryProven")
		replay := r.request(t, r.instance.PrivateDNSName)
		replay.Annotations = honest.Annotations
		r.send(t, "replay", replay, time.Second)
		r.want(t, "replay", "Denied JoineryProofRejected")
		if n := len(r.CallsTo("ec2", "DescribeInstances")); n != 2 {
			t.Errorf("%d questions to EC2: expected two, who may be joining and who is behind the honest request", n)
		}
	})
}

// While STS is away, what is proven cannot be told from what is not.
func TestHoldsWhileSTSIsAway(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		remove := r.Inject(awssim.Fault{Service: "sts", Code: awssim.Throttle})
		r.askProven(t, "a", r.instance.PrivateDNSName, 5*time.Minute)
		r.want(t, "a", "")
		remove()
		bubble.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryProven")
	})
}

// STS is asked once for each request, however often it is judged.
func TestProofIsVerifiedOnce(t *testing.T) {
	withMode(t, v1alpha1.ProofRequire, func(t *testing.T, r *rig) {
		remove := r.Inject(awssim.Fault{Service: "ec2", Code: awssim.Throttle})
		r.askProven(t, "a", r.instance.PrivateDNSName, 2*time.Minute)
		remove()
		bubble.Sleep(15 * time.Second)
		r.want(t, "a", "Approved JoineryProven")
		if n := len(r.CallsTo("sts", "GetCallerIdentity")); n != 2 {
			t.Errorf("STS was asked %d times: expected one proof and the verifier's own account", n)
		}
	})
}

func TestAJoinedNodeGetsNoSecondIdentity(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		n := r.putNode(t, r.instance.ID, true)
		bubble.Sleep(time.Second)
		r.ask(t, "while ready", r.instance.PrivateDNSName, time.Second)
		r.want(t, "while ready", "Denied JoineryAlreadyJoined")
		n.Status.Conditions[0].Status = corev1.ConditionFalse
		if _, err := r.Client.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.ask(t, "while not ready", r.instance.PrivateDNSName, time.Second)
		r.want(t, "while not ready", "Denied JoineryAlreadyJoined")
	})
}

func TestStaleNodeGoesFirst(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.putNode(t, goneID, false)
		r.ask(t, "a", r.instance.PrivateDNSName, 2*time.Second)
		r.want(t, "a", "Approved JoineryAttested")
		if _, err := r.Client.CoreV1().Nodes().Get(t.Context(), r.instance.PrivateDNSName, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("stale node: %v", err)
		}
	})
}

// A Ready Node of an instance that EC2 does not know stays while EC2 may be late. It
// does not keep the name from its instance for good.
func TestReadyNodeThatEC2DoesNotKnow(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		r.putNode(t, goneID, true)
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
		if _, err := r.Client.CoreV1().Nodes().Get(t.Context(), r.instance.PrivateDNSName, metav1.GetOptions{}); err != nil {
			t.Errorf("the node: %v", err)
		}
		bubble.Sleep(2 * time.Minute)
		r.want(t, "a", "Approved JoineryAttested")
	})
}

func TestRestartedNodeThatWasReadyGetsNoSecondIdentity(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		n := r.putNode(t, r.instance.ID, false)
		n.CreationTimestamp = metav1.NewTime(time.Now().Add(-24 * time.Hour))
		r.ask(t, "first", r.instance.PrivateDNSName, time.Second)
		r.want(t, "first", "Approved JoineryAttested")
		for _, status := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionUnknown} {
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.Now()}}
			if _, err := r.Client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			bubble.Sleep(time.Second)
		}
		r.ask(t, "second", r.instance.PrivateDNSName, time.Second)
		r.want(t, "second", "Denied JoineryAlreadyJoined")
	})
}

func TestUnreadableGrantsHold(t *testing.T) {
	withRig(t, func(t *testing.T, r *rig) {
		broken := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: csr.GrantsName, Namespace: "kube-system"}, Data: map[string]string{"i-1": "{"}}
		if _, err := r.Client.CoreV1().ConfigMaps("kube-system").Create(t.Context(), broken, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.ask(t, "a", r.instance.PrivateDNSName, time.Minute)
		r.want(t, "a", "")
		if e := <-r.Events.Events; !strings.Contains(e, "HoldFactsUnreadable") {
			t.Errorf("event %q", e)
		}
	})
}
