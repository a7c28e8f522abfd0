package attack_test

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/joinery/joinery/controlplane/doctor"
	"github.com/joinery/joinery/controlplane/posture"
)

// The doctor finds nothing unsafe on a master that was installed by the guide, and
// kubeadm's binding once it is there again.
func TestAttackerFindsTheDoorThatKubeadmLeaves(t *testing.T) {
	s := open(t)
	s.installDoctor()
	// It says before anything is lost that the control-plane node is not adopted yet.
	if bad, out := s.doctor(); len(bad) != 1 || bad[0].Check != "certificates" || !strings.Contains(bad[0].Mend, "joinery adopt") {
		t.Fatalf("before the guide's step: %+v\n%s", bad, out)
	}
	s.mustExec("sh", "-c", operator+"joinery adopt --all --config /etc/joinery/controller.yaml")
	if bad, out := s.doctor(); len(bad) > 0 {
		t.Fatalf("not well: %+v\n%s", bad, out)
	}
	door := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: posture.KubeadmBootstrap},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:bootstrappers:kubeadm:default-node-token"}},
	}
	bindings := s.Cluster.Client().RbacV1().ClusterRoleBindings()
	if _, err := bindings.Create(t.Context(), door, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	bad, out := s.doctor()
	if len(bad) != 1 || bad[0].Level != doctor.Unsafe || !strings.Contains(out, "kubectl delete clusterrolebinding "+posture.KubeadmBootstrap) {
		t.Errorf("not well: %+v\n%s", bad, out)
	}
	if err := bindings.Delete(t.Context(), door.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// An operator who suspects a leak has another token published with one command, and
// what was published before lives out its overlap and no more.
func TestAttackersTokenIsRotatedAway(t *testing.T) {
	s := open(t)
	s.installDoctor()
	before := s.stolen()
	out := s.mustExec("sh", "-c", "KUBECONFIG=/etc/kubernetes/admin.conf joinery token rotate")
	after := s.stolen()
	if after.TokenID() == before.TokenID() || !strings.Contains(out, after.TokenID()) || strings.Contains(out, after.Token.Reveal()) {
		t.Errorf("token %s after %s; it says %q", after.TokenID(), before.TokenID(), out)
	}
	if !*patient { // its overlap is a minute
		return
	}
	s.until("the end of the old token", func() bool {
		_, err := s.with(func(c *rest.Config) { c.BearerToken = before.Token.Reveal() }).CertificatesV1().
			CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
		return apierrors.IsUnauthorized(err)
	})
}

// operator is the environment in which the operator's program is run.
const operator = "AWS_ENDPOINT_URL=http://10.99.0.1:4566 KUBECONFIG=/etc/kubernetes/admin.conf "

// installDoctor puts the operator's program onto the master.
func (s *scene) installDoctor() {
	s.t.Helper()
	programs := installation.Own(s.t, "./cmd/joinery")
	from, err := os.Open(programs["joinery"])
	if err != nil {
		s.t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(s.Cluster.Master().Path("/usr/local/bin/joinery"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		s.t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// doctor runs it as the administrator and returns what is not well.
func (s *scene) doctor() (bad []doctor.Finding, out string) {
	s.t.Helper()
	out = s.mustExec("sh", "-c", operator+"joinery doctor --config /etc/joinery/controller.yaml -o json; test $? -le 2")
	var report struct{ Findings []doctor.Finding }
	if err := json.Unmarshal([]byte(out), &report); err != nil || len(report.Findings) < 10 {
		s.t.Fatalf("%v: %s", err, out)
	}
	for _, f := range report.Findings {
		if f.Level == doctor.Unsafe || f.Level == doctor.Broken || f.Level == doctor.Unknown {
			bad = append(bad, f)
		}
	}
	return bad, out
}
