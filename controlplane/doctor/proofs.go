package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
)

// proofs looks at what a join is proven by. The settings say what is good, the
// requests that Kubernetes still keeps say what is in use.
func proofs(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	if c.Approver == nil {
		return []Finding{{Level: Skipped, Found: "which proofs of identity are good is a setting of the controller: give --config"}}, nil
	}
	requests, err := c.Client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	if err != nil {
		return judgeProofs(*c.Approver, joins{}), fmt.Errorf("list signing requests: %w", err)
	}
	return judgeProofs(*c.Approver, joinsOf(requests.Items)), nil
}

// joins counts approved joins by the kind of their proof.
type joins struct{ byIdentity, byRole int }

// joinsOf reads the conditions that the approver wrote.
func joinsOf(requests []certificatesv1.CertificateSigningRequest) joins {
	var out joins
	for _, r := range requests {
		for _, k := range r.Status.Conditions {
			switch {
			case k.Type != certificatesv1.CertificateApproved || !strings.HasPrefix(k.Reason, "Joinery"):
			case strings.Contains(k.Message, "proven by "+string(v1alpha1.ProofInstanceIdentity)):
				out.byIdentity++
			case strings.Contains(k.Message, "proven by "+string(v1alpha1.ProofNodeRole)):
				out.byRole++
			}
		}
	}
	return out
}

func judgeProofs(s v1alpha1.ApproverSettings, seen joins) []Finding {
	const byToken = "a holder of a token can ask for the name of any instance that is booting"
	switch s.STSProof {
	case v1alpha1.ProofOff:
		return []Finding{{Level: Warning, Found: "proofs of identity are ignored: spec.approver.stsProof is off", Why: byToken,
			Mend: "set spec.approver.stsProof: require, once all images have the agent"}}
	case v1alpha1.ProofAccept:
		return []Finding{{Level: Warning, Found: "joins need no proof of identity: spec.approver.stsProof is accept", Why: byToken,
			Mend: "set spec.approver.stsProof: require, once all images have the agent"}}
	}
	if !s.Accepts(v1alpha1.ProofNodeRole) {
		return well("only an instance identity proves a join (%d of the joins that are still on record)", seen.byIdentity)
	}
	f := Finding{
		Level: Warning, Found: fmt.Sprintf("proofs by the nodes' roles are good (%s): %d of the joins that are still on record were by such a role, %d by an instance identity",
			strings.Join(s.NodeRoles, ", "), seen.byRole, seen.byIdentity),
		Why:  "every principal that may call sts:AssumeRole on such a role can join as an instance that is booting, unless its image is known to prove its identity",
		Mend: "set spec.approver.proof: instanceIdentity",
	}
	if seen.byRole > 0 {
		f.Mend = "roll the images to an agent that proves the instance identity, then set spec.approver.proof: instanceIdentity; until then let the trust policy of these roles name EC2 alone"
	}
	return []Finding{f}
}
