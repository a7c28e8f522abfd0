package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/leader"
)

// stale is how long after the last renewal nobody leads for certain: the Lease
// is lost after 15 s, and the clocks here and there are two.
const stale = 30 * time.Second

// leadership looks who leads.
func leadership(ctx context.Context, c Cluster, now time.Time) ([]Finding, error) {
	l, err := c.Client.CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return judgeLease(nil, now), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the controller's lease: %w", err)
	}
	return judgeLease(l, now), nil
}

func judgeLease(l *coordinationv1.Lease, now time.Time) []Finding {
	nobody := func(found string) []Finding {
		return []Finding{{Level: Broken, Found: found, Why: "no token is published and no request is judged: nodes cannot join",
			Mend: "on each master: systemctl status joinery-controller; journalctl -u joinery-controller -n 50"}}
	}
	if l == nil {
		return nobody("no joinery-controller ever led: there is no Lease kube-system/" + leader.LeaseName)
	}
	if l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "" || l.Spec.RenewTime == nil {
		return nobody("no joinery-controller leads: its Lease has no holder")
	}
	// The rest of the identity tells restarts apart.
	host, _, _ := strings.Cut(*l.Spec.HolderIdentity, "_")
	age := now.Sub(l.Spec.RenewTime.Time).Round(time.Second)
	if age > stale {
		return nobody(fmt.Sprintf("no joinery-controller leads: %s renewed the Lease %s ago", host, age))
	}
	return well("%s leads, and renewed its Lease %s ago", host, max(age, 0))
}

// grantsName is the ConfigMap in which the approver remembers what it granted.
const grantsName = "joinery-grants"

// grants looks whether the approver's memory can be read. One that cannot holds
// up every request.
func grants(ctx context.Context, c Cluster, _ time.Time) ([]Finding, error) {
	cm, err := c.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, grantsName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return well("nothing was granted yet"), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was granted: %w", err)
	}
	return judgeGrants(cm), nil
}

func judgeGrants(cm *corev1.ConfigMap) []Finding {
	var broken []string
	for id, text := range cm.Data {
		if !json.Valid([]byte(text)) {
			broken = append(broken, id)
		}
	}
	if len(broken) == 0 {
		return well("grants of %d launches are remembered", len(cm.Data))
	}
	slices.Sort(broken)
	return []Finding{{Level: Broken, Found: "ConfigMap kube-system/" + grantsName + " has entries that are no JSON: " + some(broken),
		Why:  "what was granted cannot be known, so nothing is approved",
		Mend: "kubectl -n kube-system edit configmap " + grantsName}}
}

// some names the first few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}
