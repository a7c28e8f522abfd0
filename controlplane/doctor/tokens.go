package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/kube"
)

// foreignTokens looks for bootstrap tokens that Joinery did not make.
func foreignTokens(ctx context.Context, c Cluster, now time.Time) ([]Finding, error) {
	list, err := c.Client.CoreV1().Secrets(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("type", string(corev1.SecretTypeBootstrapToken)).String(),
	})
	if err != nil {
		return nil, fmt.Errorf("list bootstrap tokens: %w", err)
	}
	return judgeTokens(list.Items, c.Name, now), nil
}

// judgeTokens looks at nothing of a token but what is no secret.
func judgeTokens(secrets []corev1.Secret, cluster string, now time.Time) []Finding {
	var out []Finding
	own := 0
	for i := range secrets {
		s := &secrets[i]
		if s.Type != corev1.SecretTypeBootstrapToken {
			continue
		}
		label, labelled := s.Labels[v1alpha1.ClusterLabel]
		if labelled && (cluster == "" || label == cluster) {
			own++
			continue
		}
		if f, live := judgeToken(s, now); live {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return well("no live bootstrap token but %d of Joinery's", own)
	}
	return out
}

func judgeToken(s *corev1.Secret, now time.Time) (Finding, bool) {
	end := "for ever"
	if text := string(s.Data[kube.BootstrapTokenExpirationKey]); text != "" {
		expires, err := time.Parse(time.RFC3339, text)
		if err == nil && !expires.After(now) {
			return Finding{}, false
		}
		if end = "until " + text; err != nil {
			end = "until a time that cannot be read"
		}
	}
	var why []string
	if string(s.Data[kube.BootstrapTokenUsageAuthKey]) == "true" {
		why = append(why, "who holds it may ask for certificates, and is approved unseen where auto-approval is on")
	}
	if string(s.Data[kube.BootstrapTokenUsageSignKey]) == "true" {
		why = append(why, "who holds it can pose as the API server to nodes that join without a pinned CA")
	}
	if len(why) == 0 {
		return Finding{}, false
	}
	groups := string(s.Data[kube.BootstrapTokenGroupsKey])
	if groups == "" {
		groups = "none"
	}
	return Finding{
		Level: Warning, Found: fmt.Sprintf("Secret %s is a live token of somebody else (groups %s), %s", s.Name, groups, end),
		Why: strings.Join(why, "; "), Mend: "kubectl -n kube-system delete secret " + s.Name,
	}, true
}

// uploadedCerts looks for what kubeadm init --upload-certs leaves for two hours.
func uploadedCerts(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	const name = "kubeadm-certs"
	_, err := c.Client.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return well("no uploaded control plane certificates"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for uploaded certificates: %w", err)
	}
	return []Finding{{
		Level: Warning, Found: "Secret kubeadm-certs holds the cluster's CA keys, encrypted with a key that kubeadm printed once",
		Why:  "who has that key, and a token of kubeadm's default group, has the cluster",
		Mend: "kubectl -n kube-system delete secret " + name,
	}}, nil
}
