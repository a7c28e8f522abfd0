package site

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/posture"
	"github.com/joinery/joinery/deploy/iam"
)

// policy is one that operators attach to a role.
type policy struct {
	role   string
	render func(iam.Values) (string, error)
}

// holdRoles makes the simulated AWS hold masters and workers to the policies that
// operators attach to their roles.
func (s *Site) holdRoles(keyARN string) error {
	values := iam.Values{
		Partition: s.World.Partition(), Region: Region, Account: accountID, Cluster: s.o.Cluster, KMSKeyARN: keyARN,
	}
	policies := []policy{{s.o.MasterRole, iam.Controller}, {NodeRole, iam.Node}}
	if parameter := controllerSpec(s.o).Bundle.LegacyTokenParameter; parameter != "" {
		legacy := func(v iam.Values) (string, error) { return iam.Legacy(v, parameter) }
		policies = append(policies, policy{s.o.MasterRole, legacy})
	}
	for _, p := range policies {
		document, err := p.render(values)
		if err != nil {
			return err
		}
		if err := s.World.AttachPolicy(p.role, document); err != nil {
			return err
		}
	}
	return nil
}

// closeAutoApproval is what an installation does once its first master is there:
// without it, kube-controller-manager approves what the approver is to judge.
// Further masters' requests are then approved by hand (cluster.JoinMaster).
func (s *Site) closeAutoApproval(ctx context.Context) error {
	for _, binding := range []string{posture.KubeadmBootstrap, posture.KubeadmRotation} {
		err := s.Cluster.Client().RbacV1().ClusterRoleBindings().Delete(ctx, binding, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("close auto-approval: %w", err)
		}
	}
	return nil
}
