package adopt

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/joinery/joinery/internal/binding"
	"github.com/joinery/joinery/internal/binding/binder"
	"github.com/joinery/joinery/internal/identity"
)

// Action is what becomes of a Node's record.
type Action string

// The actions.
const (
	// Adopted: the Node is recorded as it is now.
	Adopted Action = "adopted"
	// Kept: the Node was recorded before, as it is now.
	Kept Action = "kept"
	// Unneeded: the Node came from an approved join.
	Unneeded Action = "unneeded"
	// Refused: something speaks against the Node, see Line.Message.
	Refused Action = "refused"
	// Missing: there is no Node, or for a removal no record, of that name.
	Missing Action = "missing"
	// Removed: the record is taken away.
	Removed Action = "removed"
)

// Line is what becomes of one Node, and why.
type Line struct {
	Node     string           `json:"node"`
	Action   Action           `json:"action"`
	Standing binding.Standing `json:"standing,omitempty"`
	Message  string           `json:"message"`
	// Record is what is written; nil unless the Action is Adopted.
	Record *binding.Record `json:"record,omitempty"`
}

// Wish is what an operator asks for.
type Wish struct {
	// Names of Nodes. With All every other Node is meant too.
	Names []string
	All   bool
	// Force adopts Nodes that are named, whatever speaks against them.
	Force bool
	// Evidence is what EC2 says; nil to believe what Nodes say.
	Evidence *binding.Evidence
	// Rules are those of the cluster.
	Rules binding.Rules
}

// Plan says what becomes of each Node that is meant, by name.
func Plan(nodes []corev1.Node, book Book, w Wish) []Line {
	e := binding.Evidence{Asked: map[string]bool{}} // nothing was asked
	if w.Evidence != nil {
		e = *w.Evidence
	}
	claims := claimsOf(nodes)
	// By facts alone: what was recorded before is what is about to change.
	verdicts := binding.Judge(claims, e, nil, w.Rules)
	var out []Line
	for i := range nodes {
		named := slices.Contains(w.Names, nodes[i].Name)
		if named || w.All {
			out = append(out, w.line(&nodes[i], book, verdicts[nodes[i].Name], named))
		}
	}
	for _, name := range w.Names {
		if !slices.ContainsFunc(claims, func(n binding.Node) bool { return n.Name == name }) {
			out = append(out, Line{Node: name, Action: Missing, Message: "there is no such node"})
		}
	}
	w.refuseTwins(out, claims, book)
	slices.SortFunc(out, func(a, b Line) int { return strings.Compare(a.Node, b.Node) })
	return out
}

func (w Wish) line(n *corev1.Node, book Book, v binding.Verdict, named bool) Line {
	l := Line{Node: n.Name, Standing: v.Standing, Message: v.Message}
	claims := binder.NodeOf(n)
	if n.UID != "" && n.Labels[binding.AdmittedLabel] == string(n.UID) {
		l.Action, l.Message = Unneeded, "it came from an approved join"
		return l
	}
	if why := w.against(claims, v, named); why != "" && !(named && w.Force) {
		l.Action, l.Message = Refused, why
		return l
	}
	r := recordOf(n, v)
	if old, has := book.Records[n.Name]; has && old.Matches(claims) && (old.InEC2 || !r.InEC2) {
		l.Action, l.Message = Kept, "it is recorded as it is"
		return l
	}
	l.Action, l.Record = Adopted, &r
	if w.Evidence == nil {
		l.Message = "recorded as it says: EC2 was not asked"
	}
	return l
}

// against says what speaks against adopting a Node; empty for nothing. A Node that
// EC2 contradicts is refused. One that EC2 does not know has to be named: it may be
// of another account, or of an instance that is gone.
func (w Wish) against(n binding.Node, v binding.Verdict, named bool) string {
	_, form := identity.LookupFor(n.Name, w.Rules.Region, w.Rules.Mode)
	unknown := v.Reason == binding.NoSuchInstance || v.Reason == binding.NoInstance && form
	switch {
	case w.Evidence == nil:
		return ""
	case v.Reason == binding.OtherName && !v.Proven && hasItsAddresses(n, v):
		return "" // a name of its own, as before Joinery
	case v.Standing == binding.Impostor, v.Standing == binding.Leaving, v.Reason == binding.Ambiguous, v.Reason == binding.NotObserved:
		return v.Message
	case unknown && !named:
		return v.Message + ": name it to adopt it, if it is of another account or region"
	}
	return ""
}

// hasItsAddresses reports whether the Node's internal addresses are of the instance
// that it claims.
func hasItsAddresses(n binding.Node, v binding.Verdict) bool {
	for _, text := range n.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil || !slices.Contains(v.Instance.Addresses, a) {
			return false
		}
	}
	return len(n.Addresses) > 0
}

// recordOf is the record of a Node as it is now.
func recordOf(n *corev1.Node, v binding.Verdict) binding.Record {
	r := binding.Record{UID: string(n.UID), ProviderID: n.Spec.ProviderID, InEC2: v.Instance != nil}
	if r.InEC2 && r.ProviderID == "" {
		r.InstanceID = v.InstanceID
	}
	if !r.InEC2 {
		for _, a := range n.Status.Addresses {
			r.Addresses = append(r.Addresses, a.Address)
		}
		slices.Sort(r.Addresses)
		r.Addresses = slices.Compact(r.Addresses)
	}
	return r
}

// refuseTwins refuses Nodes that would be recorded as one instance: at most one of
// them is. Records of Nodes that are no longer as they were recorded do not count.
func (w Wish) refuseTwins(lines []Line, nodes []binding.Node, book Book) {
	of := map[string][]string{}
	for _, l := range lines {
		if l.Record != nil && l.Record.Instance() != "" {
			of[l.Record.Instance()] = append(of[l.Record.Instance()], l.Node)
		}
	}
	for _, n := range nodes {
		r, has := book.Records[n.Name]
		if has && r.Matches(n) && r.Instance() != "" && !slices.Contains(of[r.Instance()], n.Name) {
			of[r.Instance()] = append(of[r.Instance()], n.Name)
		}
	}
	for i, l := range lines {
		if l.Record == nil || len(of[l.Record.Instance()]) < 2 || w.Force && slices.Contains(w.Names, l.Node) {
			continue
		}
		lines[i].Action, lines[i].Record = Refused, nil
		lines[i].Message = fmt.Sprintf("instance %s is claimed by several nodes: %s", l.Record.Instance(), strings.Join(of[l.Record.Instance()], ", "))
	}
}
