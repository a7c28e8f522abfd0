package csr

import (
	"fmt"

	"github.com/joinery/joinery/api/v1alpha1"
	"github.com/joinery/joinery/internal/fleet"
)

// Action is what becomes of a request.
type Action string

// The actions. Deny is final for a request, so it is for what is proven false;
// what may only be late is held and judged again; what is not ours is ignored.
const (
	Approve Action = "Approve"
	Deny    Action = "Deny"
	Hold    Action = "Hold"
	Ignore  Action = "Ignore"
)

// Reason is why.
type Reason string

// The reasons of a verdict.
const (
	// Proven: the instance itself signed for the request, and every fact agrees.
	Proven Reason = "Proven"
	// Attested: every fact agrees; the launch's first certificate.
	Attested Reason = "Attested"
	// Repeated: the same key asked before and was granted.
	Repeated Reason = "Repeated"
	// Regranted: another key for a launch that was already granted one.
	Regranted Reason = "Regranted"
	// Rejoined: an instance that joined before, and whose Node was deleted or made
	// again, proves itself and joins again.
	Rejoined Reason = "Rejoined"
	// RejoinedAgain: the same, and not for the first time within the hour.
	RejoinedAgain Reason = "RejoinedAgain"
	// FirstOwn: the kubelet of an instance that was just let in asks for the
	// certificate that it will live with.
	FirstOwn Reason = "FirstOwn"
	// Renewed: a kubelet whose instance is alive renews its certificate.
	Renewed Reason = "Renewed"
	// ServesItself: a kubelet asks for a serving certificate for names and
	// addresses of its own instance.
	ServesItself Reason = "ServesItself"

	Malformed    Reason = "Malformed"
	WeakKey      Reason = "WeakKey"
	WrongSubject Reason = "WrongSubject"
	HasSANs      Reason = "HasSANs"
	WrongUsages  Reason = "WrongUsages"
	LongLived    Reason = "LongLived"
	// WrongRequester: who asks may not ask for this, whatever the facts are: a
	// node for another one, or the holder of a token for a serving certificate.
	WrongRequester Reason = "WrongRequester"
	// NoSANs: a serving certificate for no name and no address.
	NoSANs Reason = "NoSANs"
	// ForeignNames: a serving certificate for a name or address that is not the
	// instance's.
	ForeignNames Reason = "ForeignNames"
	// ProofMissing: the policy requires a proof of identity and there is none.
	ProofMissing Reason = "ProofMissing"
	// ProofMalformed and its siblings: the proof of identity is false, in the ways
	// of attest.Why.
	ProofMalformed     Reason = "ProofMalformed"
	ProofOtherEndpoint Reason = "ProofOtherEndpoint"
	ProofRejected      Reason = "ProofRejected"
	ProofOtherIdentity Reason = "ProofOtherIdentity"
	// ProofOtherKind: the proof is by another of the instance's roles than
	// spec.approver.proof accepts.
	ProofOtherKind Reason = "ProofOtherKind"
	// ProofOtherInstance: the proof is good, and another instance's than the one
	// that the request is for.
	ProofOtherInstance Reason = "ProofOtherInstance"
	// ClockSkew: the proof was signed too long before or after its request was
	// created, as by a node whose clock is wrong. The node is told and asks again.
	ClockSkew Reason = "ClockSkew"
	// ProofAged: the proof grew too old while the request waited here. The node is
	// told and asks again.
	ProofAged Reason = "ProofAged"
	// STSUnreachable: STS did not say whose proof it is; held.
	STSUnreachable Reason = "STSUnreachable"
	// WrongName: no instance can have this name.
	WrongName Reason = "WrongName"
	// ControlPlaneName: a master has this name.
	ControlPlaneName Reason = "ControlPlaneName"
	// EC2Unreachable: AWS did not answer; held for as long as it takes.
	EC2Unreachable Reason = "EC2Unreachable"
	// NoInstance: EC2 knows no instance of this name, or not yet.
	NoInstance Reason = "NoInstance"
	// Ambiguous: several instances have this name.
	Ambiguous  Reason = "Ambiguous"
	OtherVPC   Reason = "OtherVPC"
	NotRunning Reason = "NotRunning"
	// OtherCluster: the instance's cluster tag is missing or names another.
	OtherCluster Reason = "OtherCluster"
	// NotManaged: the instance is in no group that Joinery manages.
	NotManaged Reason = "NotManaged"
	// Leaving: the group is about to terminate or detach the instance.
	Leaving Reason = "Leaving"
	// WarmPool: the instance waits in a warm pool and is not to join yet.
	WarmPool Reason = "WarmPool"
	// NotInService: the group has taken the instance out of service, or has it
	// in a state that is not known here.
	NotInService Reason = "NotInService"
	// OutsideWindow: the request does not follow a launch.
	OutsideWindow Reason = "OutsideWindow"
	// NameTaken: a Node that was adopted, or whose instance EC2 does not show yet,
	// has this name.
	NameTaken Reason = "NameTaken"
	// ImpostorNode: EC2's facts contradict what the Node of this name says about
	// itself. It gets no certificate, and does not keep the name from the instance
	// that has it by these facts.
	ImpostorNode Reason = "ImpostorNode"
	// NotAdmitted: the Node came from no approved join and was not adopted by an
	// operator.
	NotAdmitted Reason = "NotAdmitted"
	// Unbound: it is not known, or not yet, which instance the Node is.
	Unbound Reason = "Unbound"
	// StaleNode: a Node of an instance that is gone has this name; it goes first.
	StaleNode Reason = "StaleNode"
	// AlreadyJoined: this launch joined already.
	AlreadyJoined Reason = "AlreadyJoined"
	// NotGranted: a kubelet without a Node asks for its own certificate, and its
	// launch was never let in.
	NotGranted Reason = "NotGranted"
	// SecondClaimant: somebody with another key asks for what was given away and
	// is still good. Whoever of the two is the instance, the other is not.
	SecondClaimant Reason = "SecondClaimant"
	// TooManyGrants: this launch was granted as many certificates as it may be.
	TooManyGrants Reason = "TooManyGrants"
	// FactsUnreadable: the API server did not say which Node has the name or
	// what was granted before.
	FactsUnreadable Reason = "FactsUnreadable"
	// UnknownToken: the requester's token is none of ours, or was revoked.
	UnknownToken Reason = "UnknownToken"
	// TooManyHeld: so many requests wait for the same name, or for names that no
	// instance has, that they delay each other.
	TooManyHeld Reason = "TooManyHeld"
)

// Verdict is what becomes of a request, and why.
type Verdict struct {
	Action  Action
	Reason  Reason
	Message string
	// Instance that the request was found to be for; empty if none was.
	Instance fleet.Instance
	// Proof is the kind of proof that an approved join was made with; empty without
	// one.
	Proof v1alpha1.ProofKind
	// Remember is what the launch will have been granted; nil when an approval
	// gives nothing that has to be remembered.
	Remember *Grant
}

// alarming says that a person should see this verdict: a denial, somebody
// else's token, and whatever means that a name has two claimants.
func (v Verdict) alarming() bool {
	switch v.Reason {
	case Regranted, RejoinedAgain, SecondClaimant, TooManyHeld, ImpostorNode:
		return true
	case ClockSkew, ProofAged:
		return false // no fault of anyone's
	}
	return v.Action == Deny || v.Action == Ignore
}

func deny(r Reason, format string, args ...any) *Verdict {
	return &Verdict{Action: Deny, Reason: r, Message: fmt.Sprintf(format, args...)}
}

func hold(r Reason, format string, args ...any) *Verdict {
	return &Verdict{Action: Hold, Reason: r, Message: fmt.Sprintf(format, args...)}
}

func approve(r Reason, i fleet.Instance, format string, args ...any) *Verdict {
	return &Verdict{Action: Approve, Reason: r, Message: fmt.Sprintf(format, args...), Instance: i}
}
