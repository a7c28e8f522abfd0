package csr

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/controlplane/attest"
	"github.com/joinery/joinery/internal/fleet"
	"github.com/joinery/joinery/internal/identity"
	"github.com/joinery/joinery/internal/quote"
)

// judge decides with as few questions as it takes.
func (a *Approver) judge(ctx context.Context, r Request) (Facts, Verdict) {
	if r.Problem != nil {
		return Facts{}, *r.Problem
	}
	if r.Kind != Bootstrap {
		return a.judgeNode(ctx, r)
	}
	look, ok := identity.LookupFor(r.Node, a.policy.Region, a.policy.Mode)
	if !ok {
		return Facts{}, *a.noName(r)
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
	if who := f.Proof.Identity; who != nil && a.policy.binds(who.Kind) {
		if f.Images, err = a.images.All(ctx); err != nil {
			return f, *hold(FactsUnreadable, "%v", err)
		}
	}
	if v := a.resolve(ctx, r, look, &f); v != nil {
		return f, *v
	}
	return f, Decide(r, f, time.Now(), a.policy)
}

func (a *Approver) noName(r Request) *Verdict {
	return deny(WrongName, "%s is no node name of mode %s", quote.Text(r.Node), a.policy.Mode)
}

// judgeNode judges what a node asks for itself. Its instance is known by its
// Node, and by its name only while it has none.
func (a *Approver) judgeNode(ctx context.Context, r Request) (Facts, Verdict) {
	f := Facts{ShortLived: a.shortLived(r.Credential)}
	if v := a.stillNotAdmitted(ctx, r, f); v != nil {
		return f, *v
	}
	look, _ := identity.LookupFor(r.Node, a.policy.Region, a.policy.Mode)
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
func (a *Approver) resolve(ctx context.Context, r Request, look identity.Lookup, f *Facts) *Verdict {
	var err error
	if f.Grants, err = a.grants.All(ctx); err != nil {
		return hold(FactsUnreadable, "%v", err)
	}
	if v := a.findNode(ctx, r.Node, f); v != nil {
		return v
	}
	switch {
	case r.Kind != Bootstrap && f.Node != nil:
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
	f.Groups = map[string]*fleet.Group{}
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
func (a *Approver) group(ctx context.Context, i fleet.Instance) (*fleet.Group, error) {
	g, err := a.finder.Group(ctx, i.Group, 0)
	if err != nil || g == nil || g.WarmPool == "" {
		return g, err
	}
	if _, ok := g.Member(i.ID); ok {
		return g, nil
	}
	pooled, err := a.finder.Pool(ctx, i.Group, 0)
	if err != nil {
		return nil, err
	}
	for _, m := range pooled {
		if m.ID == i.ID {
			with := g.WithMember(m)
			return &with, nil
		}
	}
	return g, nil
}

// findLetIn adds the instances that were granted a certificate under that name.
func (a *Approver) findLetIn(ctx context.Context, name string, f *Facts) error {
	var ids []string
	for id, g := range f.Grants {
		known := slices.ContainsFunc(f.Candidates, func(i fleet.Instance) bool { return i.ID == id })
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
