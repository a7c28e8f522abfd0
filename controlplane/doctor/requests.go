package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/internal/kube"
	"github.com/joinery/joinery/internal/quote"
)

// slow is how long an honest request may take: most are decided in a second, and
// kubelet gives up after 15 minutes.
const slow = 10 * time.Minute

// pendingRequests looks for nodes that wait for a certificate.
func pendingRequests(ctx context.Context, c Cluster, now time.Time) ([]Finding, error) {
	list, err := c.Client.CertificatesV1().CertificateSigningRequests().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list signing requests: %w", err)
	}
	return judgeRequests(list.Items, now), nil
}

func judgeRequests(all []certificatesv1.CertificateSigningRequest, now time.Time) []Finding {
	var out []Finding
	if waiting := undecided(all, certificatesv1.KubeAPIServerClientKubeletSignerName, now); len(waiting) > 0 {
		out = append(out, Finding{
			Level: Warning, Found: fmt.Sprintf("%d requests for a node's certificate have waited for more than %s: %s", len(waiting), slow, some(names(waiting))),
			Why:  "these nodes cannot join, or somebody asks who is none; the request's events say what is missing",
			Mend: "kubectl describe csr " + waiting[0].Name,
		})
	}
	if waiting := undecided(all, certificatesv1.KubeletServingSignerName, now); len(waiting) > 0 {
		nodes := requesters(waiting)
		out = append(out, Finding{
			Level: Warning, Found: fmt.Sprintf("the kubelets of %d nodes wait for a serving certificate: %s", len(nodes), some(nodes)),
			Why:  "kubectl logs, kubectl exec and the metrics of these nodes fail; with spec.approver.servingDisabled another approver must decide",
			Mend: "kubectl describe csr " + waiting[0].Name,
		})
	}
	if len(out) == 0 {
		return well("no node waits for a certificate")
	}
	return out
}

// undecided returns the requests of a signer that have waited too long, the
// oldest first.
func undecided(all []certificatesv1.CertificateSigningRequest, signer string, now time.Time) []certificatesv1.CertificateSigningRequest {
	var out []certificatesv1.CertificateSigningRequest
	for _, r := range all {
		decided := len(r.Status.Conditions) > 0 || len(r.Status.Certificate) > 0
		if r.Spec.SignerName == signer && !decided && now.Sub(r.CreationTimestamp.Time) >= slow {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b certificatesv1.CertificateSigningRequest) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return out
}

func names(requests []certificatesv1.CertificateSigningRequest) []string {
	out := make([]string, len(requests))
	for i, r := range requests {
		out[i] = r.Name + " of " + quote.Name(r.Spec.Username)
	}
	return out
}

// requesters returns each node once: a kubelet that waits asks again.
func requesters(requests []certificatesv1.CertificateSigningRequest) []string {
	var out []string
	for _, r := range requests {
		if name := strings.TrimPrefix(r.Spec.Username, kube.NodeUserPrefix); !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
