package csr

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/controlplane/instances"
)

// judge decides with as few questions as it takes.
func (a *Approver) judge(ctx context.Context, r Request) (Facts, Verdict) {
	if r.Problem != nil {
		return Facts{}, *r.Problem
	}
	look, ok := LookupFor(r.Node, a.policy.Mode)
	if !ok {
		return Facts{}, *deny(WrongName, "%q is no node name of mode %s", r.Node, a.policy.Mode)
	}
	f, v := a.resolve(ctx, r, look)
	if v != nil {
		return f, *v
	}
	return f, Decide(r, f, time.Now(), a.policy)
}

// resolve asks AWS and the API server. A verdict says that an answer is missing.
func (a *Approver) resolve(ctx context.Context, r Request, look Lookup) (Facts, *Verdict) {
	var f Facts
	var err error
	if f.Grants, err = a.grants.All(ctx); err != nil {
		return f, hold(FactsUnreadable, "%v", err)
	}
	if f.Node, err = a.node(ctx, r.Node); err != nil {
		return f, hold(FactsUnreadable, "%v", err)
	}
	if err := a.checkGone(ctx, f.Node); err != nil {
		return f, hold(EC2Unreachable, "%v", err)
	}
	if look.InstanceID != "" {
		f.Candidates, err = a.finder.ByID(ctx, look.InstanceID)
	} else {
		f.Candidates, err = a.finder.ByPrivateIP(ctx, look.PrivateIP)
	}
	if err != nil {
		return f, hold(EC2Unreachable, "%v", err)
	}
	f.Groups = map[string]*instances.Group{}
	for _, i := range f.Candidates {
		if i.Group == "" || !i.Alive() || i.VPC != a.policy.VPC {
			continue
		}
		if f.Groups[i.Group], err = a.finder.Group(ctx, i.Group); err != nil {
			return f, hold(EC2Unreachable, "%v", err)
		}
	}
	return f, nil
}

// node describes the Node of that name, but for what EC2 knows.
func (a *Approver) node(ctx context.Context, name string) (*Node, error) {
	n, err := a.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node: %w", err)
	}
	out := &Node{UID: string(n.UID), Ready: ready(n)}
	_, out.ControlPlane = n.Labels["node-role.kubernetes.io/control-plane"]
	out.InstanceID, _ = instances.FromProviderID(n.Spec.ProviderID)
	return out, nil
}

func (a *Approver) checkGone(ctx context.Context, n *Node) error {
	if n == nil || n.InstanceID == "" {
		return nil
	}
	found, err := a.finder.ByID(ctx, n.InstanceID)
	if err != nil {
		return err
	}
	n.InstanceUnknown = len(found) == 0
	n.InstanceGone = len(found) > 0 && found[0].Going()
	return nil
}

func ready(n *corev1.Node) bool {
	c := readiness(n)
	return c != nil && c.Status == corev1.ConditionTrue
}

// readiness is the condition Ready; nil for none.
func readiness(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}
