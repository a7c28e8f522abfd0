package attack_test

import (
	"flag"
	"net"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/lab/awssim"
)

// patient waits for verdicts that come after minutes; make nightly sets it.
var patient = flag.Bool("patient", false, "wait for verdicts that come after minutes")

// soon is how long a decision that needs no waiting may take.
const soon = 15 * time.Second

// (a) The thief of a token asks for a name of a node that works.
func TestAttackerTakesANodesName(t *testing.T) {
	s := open(t)
	node := s.member(workers)
	s.denied(s.ask(s.withToken(), claim{node: node.PrivateDNSName, signer: clientSigner}), soon, "ProofMissing")
	// With the credentials of an instance of his own he is still somebody else.
	s.denied(s.ask(s.withToken(), claim{node: node.PrivateDNSName, signer: clientSigner, proof: s.signs(s.member(victims), clusterName)}),
		soon, "ProofOtherInstance")
}

// (b) He asks for a master's name.
func TestAttackerTakesAMastersName(t *testing.T) {
	s := open(t)
	master := s.Cluster.Masters()[0].NodeName
	s.denied(s.ask(s.withToken(), claim{node: master, signer: clientSigner}), soon, "ProofMissing")
	s.denied(s.ask(s.withToken(), claim{node: master, signer: clientSigner, proof: s.signs(s.member(victims), clusterName)}), soon, "ProofOtherInstance")
	// The master's own credentials are of a role that no node has.
	own, err := s.World.InstanceByIP(s.Cluster.Master().IP().String())
	if err != nil {
		t.Fatal(err)
	}
	s.denied(s.ask(s.withToken(), claim{node: master, signer: clientSigner, proof: s.signsByRole(own)}), soon, "ProofOtherIdentity")
}

// (c) He is faster than an instance that boots.
func TestAttackerIsFasterThanABootingInstance(t *testing.T) {
	s := open(t)
	victim := s.member(victims)
	s.denied(s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner}), soon, "ProofMissing")
	s.denied(s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner, proof: s.signs(s.member(workers), clusterName)}),
		soon, "ProofOtherInstance")
}

// (d) He replays the proof of a node that has joined: a token's holder can read it.
func TestAttackerReplaysAProof(t *testing.T) {
	s := open(t)
	node := s.member(workers)
	old := s.honest(node)
	replayed := func([]byte) string { return old.Annotations["joinery.dev/sts-proof"] }
	if replayed(nil) == "" {
		t.Fatal("the node joined without a proof")
	}
	s.denied(s.ask(s.withToken(), claim{node: node.PrivateDNSName, signer: clientSigner, proof: replayed}), soon, "ProofRejected")
	// The whole request again, which is worth something to the holder of its key.
	again := old.DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{GenerateName: "joinery-attack-", Annotations: old.Annotations}
	made, err := s.withToken().CertificatesV1().CertificateSigningRequests().Create(t.Context(), again, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.denied(wish{made: made}, soon, "AlreadyJoined")
}

// (e) He has a proof that an instance made for another cluster, of the same role.
func TestAttackerBringsAProofOfAnotherCluster(t *testing.T) {
	s := open(t)
	victim := s.member(victims)
	s.denied(s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner, proof: s.signs(victim, "elsewhere")}), soon, "ProofRejected")
}

// (f) He wants to serve under names that are not his: with the token, and from a
// node that he has broken into.
func TestAttackerServesForeignNames(t *testing.T) {
	s := open(t)
	node, master := s.member(workers), s.Cluster.Master()
	_, err := s.tryAsk(s.withToken(), claim{node: node.PrivateDNSName, signer: servingSigner, names: []string{node.PrivateDNSName}})
	s.refusedByPolicy(err, "may ask the signer")
	broken := s.asNode(node)
	// Its own names are granted, so the denials below are about the names.
	own := s.ask(broken, claim{node: node.PrivateDNSName, signer: servingSigner, names: []string{node.PrivateDNSName}, ips: []net.IP{net.ParseIP(node.PrivateIP)}})
	s.wants(own, soon, "Approved JoineryServesItself")
	foreign := []wish{
		s.ask(broken, claim{node: node.PrivateDNSName, signer: servingSigner, ips: []net.IP{master.IP().AsSlice()}}),
		s.ask(broken, claim{node: node.PrivateDNSName, signer: servingSigner, names: []string{node.PrivateDNSName, "kubernetes.default.svc"}}),
	}
	// EC2 may show an address late, so that these are held for two minutes first.
	for _, w := range foreign {
		s.alarmed(w, "HoldForeignNames", "Normal")
		if got, cert := s.outcome(w); got != "" || len(cert) > 0 {
			t.Errorf("foreign names: got %q at once", got)
		}
	}
	if !*patient {
		return
	}
	for _, w := range foreign {
		s.denied(w, 150*time.Second, "ForeignNames")
	}
}

// (g) He runs on a node that has joined, has its credentials and a token, and wants
// its identity a second time.
func TestAttackerAsksASecondTimeForAJoinedNode(t *testing.T) {
	s := open(t)
	node := s.member(workers)
	s.denied(s.ask(s.withToken(), claim{node: node.PrivateDNSName, signer: clientSigner, proof: s.signs(node, clusterName)}), soon, "AlreadyJoined")
}

// (h) He stole the certificate of ten minutes while an instance joined, and renews
// it by the rule for kubelets after the instance is gone.
func TestAttackerRenewsAStolenCertificate(t *testing.T) {
	s := open(t)
	victim := s.member(victims)
	joining := s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner, proof: s.signs(victim, clusterName)})
	stolen := s.withCertificate(s.wants(joining, soon, "Approved JoineryProven"), joining.key)
	// While the instance joins, its kubelet gets one certificate of its own, and
	// whoever comes second with the same stolen one gets none.
	s.wants(s.ask(stolen, claim{node: victim.PrivateDNSName, signer: clientSigner}), soon, "Approved JoineryFirstOwn")
	s.denied(s.ask(stolen, claim{node: victim.PrivateDNSName, signer: clientSigner}), soon, "SecondClaimant")
	s.World.Terminate(victim.ID)
	s.denied(s.ask(stolen, claim{node: victim.PrivateDNSName, signer: clientSigner}), soon, "NotRunning")
	s.checkKubeadmsRule(victim.PrivateDNSName, stolen)
}

// checkKubeadmsRule shows that the attack is a real one: with the binding that
// kubeadm init makes, kube-controller-manager renews the stolen certificate unseen.
func (s *scene) checkKubeadmsRule(node string, stolen kubernetes.Interface) {
	s.t.Helper()
	rule := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: posture.KubeadmRotation},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:nodes"}},
	}
	bindings := s.Cluster.Client().RbacV1().ClusterRoleBindings()
	if _, err := bindings.Create(s.t.Context(), rule, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
	defer func() {
		if err := bindings.Delete(s.t.Context(), rule.Name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	}()
	s.wants(s.ask(stolen, claim{node: node, signer: clientSigner}), soon, "Approved AutoApproved")
}

// (i) They may call sts:AssumeRole on the nodes' role, and name their session after
// an instance that boots. STS says of them what it says of the instance by that
// role. Instances of its image prove their instance identity, so that the proof is
// refused.
func TestAttackerAssumesTheNodeRole(t *testing.T) {
	s := open(t)
	var victim awssim.Instance
	s.until("an instance boots that no earlier test ended", func() bool {
		victim = s.member(victims)
		return victim.State == "running"
	})
	s.denied(s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner, proof: s.assumes(victim)}), soon, "ProofOtherKind")
	s.denied(s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner, proof: s.signsByRole(victim)}), soon, "ProofOtherKind")
}

// The token's holder may send the agent's request and no other.
func TestAttackerSendsWhatNoAgentSends(t *testing.T) {
	s := open(t)
	thief, victim := s.withToken().CertificatesV1().CertificateSigningRequests(), s.member(victims)
	good := s.ask(s.withToken(), claim{node: victim.PrivateDNSName, signer: clientSigner}).made
	for why, change := range map[string]func(*certificatesv1.CertificateSigningRequest){
		"600 seconds":          func(c *certificatesv1.CertificateSigningRequest) { c.Spec.ExpirationSeconds = nil },
		"begins with joinery-": func(c *certificatesv1.CertificateSigningRequest) { c.Name = "csr-1" },
		"annotation":           func(c *certificatesv1.CertificateSigningRequest) { c.Annotations = map[string]string{"x": "y"} },
		"at most 8 KiB": func(c *certificatesv1.CertificateSigningRequest) {
			c.Annotations = map[string]string{v1alpha1.STSProofAnnotation: strings.Repeat("x", 250<<10)}
		},
		"no labels": func(c *certificatesv1.CertificateSigningRequest) { c.Labels = map[string]string{"x": "y"} },
		"usages": func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Usages = append(c.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		},
		"at most 4 KiB": func(c *certificatesv1.CertificateSigningRequest) {
			c.Spec.Request = append(c.Spec.Request, strings.Repeat("\n", 6<<10)...)
		},
		"managed fields": func(c *certificatesv1.CertificateSigningRequest) {
			c.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "certificates.k8s.io/v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{}}`)}}
		},
	} {
		c := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "joinery-attack"}, Spec: *good.Spec.DeepCopy()}
		change(c)
		_, err := thief.Create(t.Context(), c, metav1.CreateOptions{})
		if why == "managed fields" && err == nil {
			continue // the API server itself may drop them
		}
		s.refusedByPolicy(err, why)
	}
}

// The token opens nothing else: no cluster configuration, no Node, no Secret.
func TestAttackerReadsWithTheToken(t *testing.T) {
	s := open(t)
	thief := s.withToken()
	_, err := thief.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(t.Context(), "kubeadm-config", metav1.GetOptions{})
	s.refused(err)
	_, err = thief.CoreV1().Nodes().Get(t.Context(), s.member(workers).PrivateDNSName, metav1.GetOptions{})
	s.refused(err)
	_, err = thief.CoreV1().Secrets(metav1.NamespaceSystem).List(t.Context(), metav1.ListOptions{})
	s.refused(err)
	_, err = thief.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "rogue"}}, metav1.CreateOptions{})
	s.refused(err)
}
