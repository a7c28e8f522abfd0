package csr

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/controlplane/instances"
)

// judge decides with as few questions as it takes.
func (a *Approver) judge(ctx context.Context, r Request) (Facts, Verdict) {
	if r.Problem != nil {
		return Facts{}, *r.Problem
	}
	if r.Kind != Bootstrap {
		return a.judgeNode(ctx, r)
	}
	look, ok := LookupFor(r.Node, a.policy.Mode)
	if !ok {
		return Facts{}, *deny(WrongName, "%q is no node name of mode %s", clip(r.Node), a.policy.Mode)
	}
	var f Facts
	var err error
	if f.Proof, err = a.prove(ctx, r); err != nil {
		return f, *hold(STSUnreachable, "%v", err)
	}
	// A request that proves nothing costs no question to EC2.
	if v := checkProof(r, f, a.policy); v != nil {
		return f, *v
	}
	if v := a.resolve(ctx, r, look, &f); v != nil {
		return f, *v
	}
	return f, Decide(r, f, time.Now(), a.policy)
}

// judgeNode judges what a node asks for itself. Its instance is known by its
// Node, and by its name only while it has none.
func (a *Approver) judgeNode(ctx context.Context, r Request) (Facts, Verdict) {
	f := Facts{ShortLived: a.shortLived(r.Credential)}
	look, _ := LookupFor(r.Node, a.policy.Mode)
	if v := a.resolve(ctx, r, look, &f); v != nil {
		return f, *v
	}
	return f, Decide(r, f, time.Now(), a.policy)
}

// prove asks whose the proof is, once for each request. An error says that it is
// not known.
func (a *Approver) prove(ctx context.Context, r Request) (Proof, error) {
	if r.Proof == "" || r.Legacy || a.policy.Proof == v1alpha1.ProofOff {
		return Proof{}, nil
	}
	if id, known := a.provenBefore(r); known {
		return Proof{Identity: id}, nil
	}
	id, err := a.verifier.Verify(ctx, r.Proof, r.Text, r.Created, time.Now())
	var no *attest.FalseError
	switch {
	case errors.As(err, &no):
		return Proof{False: no}, nil
	case err != nil:
		return Proof{}, err
	}
	a.rememberProof(r, id)
	return Proof{Identity: &id}, nil
}

// resolve asks AWS and the API server. A verdict says that an answer is missing.
func (a *Approver) resolve(ctx context.Context, r Request, look Lookup, f *Facts) *Verdict {
	var err error
	if f.Grants, err = a.grants.All(ctx); err != nil {
		return hold(FactsUnreadable, "%v", err)
	}
	if f.Node, err = a.node(ctx, r.Node); err != nil {
		return hold(FactsUnreadable, "%v", err)
	}
	if err := a.findInstance(ctx, f.Node); err != nil {
		return hold(EC2Unreachable, "%v", err)
	}
	switch {
	case r.Kind != Bootstrap && f.Node != nil && f.Node.InstanceID != "":
		return nil // its name need not say anything
	case look.InstanceID != "":
		f.Candidates, err = a.finder.ByID(ctx, look.InstanceID)
	case look.PrivateIP.IsValid():
		f.Candidates, err = a.finder.ByPrivateIP(ctx, look.PrivateIP)
	}
	if err == nil && r.Kind == Renewal {
		err = a.findLetIn(ctx, r.Node, f)
	}
	if err != nil {
		return hold(EC2Unreachable, "%v", err)
	}
	f.Groups = map[string]*instances.Group{}
	for _, i := range f.Candidates {
		if i.Group == "" || !i.Alive() || i.VPC != a.policy.VPC {
			continue
		}
		if f.Groups[i.Group], err = a.group(ctx, i); err != nil {
			return hold(EC2Unreachable, "%v", err)
		}
	}
	return nil
}

// group describes an instance's group. Auto Scaling lists an instance in the warm
// pool apart from the group's own.
func (a *Approver) group(ctx context.Context, i instances.Instance) (*instances.Group, error) {
	g, err := a.finder.Group(ctx, i.Group)
	if err != nil || g == nil || g.WarmPool == "" || g.Lifecycles[i.ID] != "" {
		return g, err
	}
	pooled, err := a.finder.Pooled(ctx, i.Group)
	if err != nil {
		return nil, err
	}
	if state := pooled[i.ID]; state != "" {
		g.Lifecycles[i.ID] = state
	}
	return g, nil
}

// findLetIn adds the instances that were granted a certificate under that name.
func (a *Approver) findLetIn(ctx context.Context, name string, f *Facts) error {
	var ids []string
	for id, g := range f.Grants {
		known := slices.ContainsFunc(f.Candidates, func(i instances.Instance) bool { return i.ID == id })
		if g.Node == name && !known {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := a.finder.ByID(ctx, ids...)
	f.Candidates = append(f.Candidates, found...)
	return err
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

func (a *Approver) findInstance(ctx context.Context, n *Node) error {
	if n == nil || n.InstanceID == "" {
		return nil
	}
	found, err := a.finder.ByID(ctx, n.InstanceID)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		n.Instance = &found[0]
	}
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
