package doctor_test

import (
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/doctor"
)

func TestProofs(t *testing.T) {
	approved := func(name, reason, message string) *certificatesv1.CertificateSigningRequest {
		r := request(name, certificatesv1.KubeAPIServerClientKubeletSignerName, "system:bootstrap:abcdef", 0)
		r.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Reason: reason, Message: message}}
		return r
	}
	byRole := approved("role", "JoineryProven", "instance i-1 of group g in a, proven by nodeRole (role nodes)")
	byIdentity := approved("identity", "JoineryRegranted", "instance i-2 of group g in a, proven by instanceIdentity (role aws:ec2-instance); certificate 2 since its launch")
	foreign := approved("foreign", "Manual", "proven by nodeRole")
	roles := []string{"nodes"}
	for name, test := range map[string]struct {
		settings           *v1alpha1.ApproverSettings
		level              doctor.Level
		found, why, remedy string
	}{
		"no settings":        {nil, doctor.Skipped, "give --config", "", ""},
		"off":                {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofOff}, doctor.Warning, "are ignored", "holder of a token", "stsProof: require"},
		"accept":             {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofAccept, Proof: v1alpha1.ProofAny, NodeRoles: roles}, doctor.Warning, "need no proof", "holder of a token", "stsProof: require"},
		"any":                {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofRequire, Proof: v1alpha1.ProofAny, NodeRoles: roles}, doctor.Warning, "(nodes): 1 of the joins that are still on record were by such a role, 1 by", "sts:AssumeRole", "roll the images"},
		"any, without roles": {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofRequire, Proof: v1alpha1.ProofAny}, doctor.OK, "only an instance identity", "", ""},
		"instance identity":  {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofRequire, Proof: v1alpha1.ProofInstanceIdentity, NodeRoles: roles}, doctor.OK, "only an instance identity proves a join (1 of", "", ""},
		"node role":          {&v1alpha1.ApproverSettings{STSProof: v1alpha1.ProofRequire, Proof: v1alpha1.ProofNodeRole, NodeRoles: roles}, doctor.Warning, "proofs by the nodes' roles", "sts:AssumeRole", "instanceIdentity"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for _, f := range doctor.Examine(t.Context(), doctor.Cluster{Client: fake.NewClientset(byRole, byIdentity, foreign), Approver: test.settings}) {
				if f.Check != "proofs" {
					continue
				}
				n++
				if f.Level != test.level || !strings.Contains(f.Found, test.found) || !strings.Contains(f.Why, test.why) || !strings.Contains(f.Mend, test.remedy) {
					t.Errorf("got %+v", f)
				}
			}
			if n != 1 {
				t.Errorf("%d findings: expected 1", n)
			}
		})
	}
	for _, f := range doctor.Examine(t.Context(), doctor.Cluster{Client: fake.NewClientset(byIdentity), Approver: &v1alpha1.ApproverSettings{
		STSProof: v1alpha1.ProofRequire, Proof: v1alpha1.ProofAny, NodeRoles: roles,
	}}) {
		if f.Check == "proofs" && f.Mend != "set spec.approver.proof: instanceIdentity" {
			t.Errorf("all joins are by an instance identity: got %+v", f)
		}
	}
}
