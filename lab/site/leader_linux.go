package site

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/leader"
	"github.com/joinery/joinery/lab/cluster"
)

// Ask sends a request to the controller on m, from m itself.
func (s *Site) Ask(ctx context.Context, m cluster.Master, path string) (string, error) {
	out, err := m.Machine.Exec(ctx, "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "5", "http://127.0.0.1:9810"+path)
	return string(out), err
}

// Leads says whether the controller on m thinks that it leads.
func (s *Site) Leads(ctx context.Context, m cluster.Master) (bool, error) {
	metrics, err := s.Ask(ctx, m, "/metrics")
	if err != nil {
		return false, err
	}
	switch {
	case strings.Contains(metrics, "\njoinery_leader 1\n"):
		return true, nil
	case strings.Contains(metrics, "\njoinery_leader 0\n"):
		return false, nil
	}
	return false, fmt.Errorf("controller on %s has no metric joinery_leader", m.NodeName)
}

// Leader returns the master whose controller holds the Lease, and the Lease.
func (s *Site) Leader(ctx context.Context) (cluster.Master, *coordinationv1.Lease, error) {
	lease, err := s.Cluster.Client().CoordinationV1().Leases(metav1.NamespaceSystem).Get(ctx, leader.LeaseName, metav1.GetOptions{})
	if err != nil {
		return cluster.Master{}, nil, err
	}
	host, _, _ := strings.Cut(Holder(lease), "_")
	for _, m := range s.Cluster.Masters() {
		if host == m.NodeName {
			return m, lease, nil
		}
	}
	return cluster.Master{}, nil, fmt.Errorf("the Lease is held by %q", Holder(lease))
}

// Holder is the process that holds a Lease; empty for none.
func Holder(l *coordinationv1.Lease) string { return aws.ToString(l.Spec.HolderIdentity) }
